"""Masks of coarse logits at the image's size."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def upsample_masks(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Binary masks (P, H, W) of mask logits (P, h, w): probabilities resized to the image, above one half."""
    return F.interpolate(logits.detach()[None].float().sigmoid(), size=size, mode='bilinear')[0] > 0.5
