"""The two losses of the shipped configs for machines without mmdet, where a training step is measured all the same.

Training itself takes mmdet's, with which these agree (a test compares them).
"""

from __future__ import annotations

import importlib.util
from typing import Any

import torch.nn.functional as F
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import Registry
from torch import Tensor, nn


class CrossEntropyLoss(nn.Module):
    """Binary cross-entropy with logits of any shape, summed and divided by ``avg_factor``."""

    def __init__(self, use_sigmoid: bool) -> None:
        super().__init__()
        assert use_sigmoid

    def forward(self, logits: Tensor, targets: Tensor, avg_factor: float) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, targets.float(), reduction='sum') / avg_factor


class DiceLoss(nn.Module):
    """The naive Dice loss of logits and targets (P, N), summed over P and divided by ``avg_factor``."""

    def __init__(self, use_sigmoid: bool, naive_dice: bool, eps: float) -> None:
        super().__init__()
        assert use_sigmoid and naive_dice
        self.eps = eps

    def forward(self, logits: Tensor, targets: Tensor, avg_factor: float) -> Tensor:
        predicted, targets = logits.sigmoid(), targets.float()
        overlap = (predicted * targets).sum(1)
        shares = (2 * overlap + self.eps) / (predicted.sum(1) + targets.sum(1) + self.eps)
        return (1 - shares).sum() / avg_factor


def stand_in_for_mmdet() -> None:
    """Let ``mmdet.CrossEntropyLoss`` and ``mmdet.DiceLoss`` be found where mmdet (or mmcv, which it needs) is not."""
    missing = any(importlib.util.find_spec(name) is None for name in ('mmdet', 'mmcv'))
    if missing and 'mmdet' not in MMENGINE_MODELS.children:
        losses: Any = Registry('model', parent=MMENGINE_MODELS, scope='mmdet')
        for loss in (CrossEntropyLoss, DiceLoss):
            losses.register_module(module=loss)
