"""The losses and training-log figures of mask logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from mmengine.logging import MessageHub
from torch import Tensor, nn

from flmm_plugin.registry import MODELS
from flmm_plugin.structures import size_of

#: Under which the message hub has the phrases a rank that the last losses are means of: () fp32.
PHRASES = 'phrases_per_rank'


class MaskLosses(nn.Module):
    """BCE over all pixels and Dice over masks, with pixel accuracy and mean IoU for the log."""

    def __init__(self, loss_mask: dict, loss_dice: dict, centered: bool = False) -> None:
        super().__init__()
        self.centered = centered
        self.loss_mask = MODELS.build(loss_mask)
        self.loss_dice = MODELS.build(loss_dice)

    def forward(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """``logits`` (P, h, w); ``targets`` (P, H, W) of zeros and ones, resized (nearest) to the logits' size."""
        logits = logits.float()  # sums over all pixels are too coarse in half precision
        targets = resize_targets(targets, size_of(logits))
        predicted = (logits.detach() > 0).to(targets)
        overlap = (predicted * targets).sum(dim=(1, 2))
        union = predicted.sum(dim=(1, 2)) + targets.sum(dim=(1, 2)) - overlap
        return dict(
            loss_mask=self.loss_mask(logits.flatten(), targets.flatten(), avg_factor=logits.numel()),
            loss_dice=self.loss_dice(logits.flatten(1), targets.flatten(1), avg_factor=len(logits)),
            accuracy=(predicted == targets).float().mean(),
            aiou=(overlap / (union + 1e-12)).mean(),
        )


def average_over_phrases(terms: Sequence[Mapping[str, Tensor]], counts: Sequence[int]) -> dict[str, Tensor]:
    """Means over the samples of a batch, weighed by their numbers of phrases.

    With several ranks the mean of their losses is the mean over all phrases of the global batch: the gradients of the
    ranks are averaged, so that each rank divides by the mean number of phrases of the ranks, as mmdet does with its
    ``avg_factor``. Divided by its own, phrases of a rank that has few would weigh more. Figures for the log are those
    of the rank's own phrases.

    The mean number of phrases is left in the message hub, for steps that gather several batches
    (:mod:`flmm_plugin.engine.accumulation`).
    """
    phrases_per_rank = next(iter(terms[0].values())).new_full((), sum(counts), dtype=torch.float32)
    all_reduce(phrases_per_rank, op='mean')
    MessageHub.get_current_instance().update_info(PHRASES, phrases_per_rank, resumed=False)
    means = {}
    for name in terms[0]:
        total = torch.stack([term[name] * count for term, count in zip(terms, counts, strict=True)]).sum()
        means[name] = total / (phrases_per_rank if 'loss' in name else sum(counts))
    return means


def resize_targets(masks: Tensor, size: tuple[int, int], centered: bool = False) -> Tensor:
    """Resize (P, H, W) masks by nearest neighbour.

    The authors' way takes the pixel at the upper left of each cell, which shifts masks by up to half a cell;
    ``centered`` takes the one in its middle.
    """
    return F.interpolate(masks[None], size=size, mode='nearest-exact' if centered else 'nearest')[0]
