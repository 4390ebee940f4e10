"""Masks straight from attention maps, nothing trained: what a mask head has to beat.

Shape shorthand: P phrases, C maps (layers x heads), (h, w) attention grid, (H, W) image size, K thresholds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

THRESHOLDS = tuple(step / 20 for step in range(1, 20))  # of a map's maximum


@dataclass
class RawAttentionScores:
    """Sums over phrases, stuff and things apart: ``iou`` (2, C + 1, K), ``count`` (2,). The last map is the mean."""

    iou: Tensor
    count: Tensor

    def mean_iou(self) -> Tensor:
        """(2, C + 1, K): index 0 stuff, 1 things."""
        return self.iou / self.count.clamp(min=1)[:, None, None]


def score_raw_attention(samples: Iterable[tuple[Tensor, Tensor, Tensor]]) -> RawAttentionScores:
    """IoU of every map, and of their mean, at every threshold.

    Args:
        samples: attention maps (P, C, h, w), true masks (P, H, W) bool, and which phrases are things (P,) bool.
    """
    scores: RawAttentionScores | None = None
    for maps, truth, is_thing in samples:
        maps = torch.cat([maps, maps.mean(1, keepdim=True)], 1).float()
        if scores is None:
            scores = RawAttentionScores(torch.zeros(2, maps.shape[1], len(THRESHOLDS)), torch.zeros(2))
        maps = F.interpolate(maps, size=truth.shape[1:], mode='bilinear')
        maps = maps / maps.amax((2, 3), keepdim=True).clamp(min=1e-12)
        iou = threshold_ious(maps, truth)
        scores.iou.index_add_(0, is_thing.long(), iou)
        scores.count += torch.bincount(is_thing.long(), minlength=2)
    if scores is None:
        raise ValueError('no sample to score')
    return scores


def threshold_ious(maps: Tensor, truth: Tensor) -> Tensor:
    """IoU (P, C, K) of what lies above each threshold of maps (P, C, H, W) with masks (P, H, W).

    One histogram of pixels by the number of thresholds that they exceed serves all thresholds.
    """
    levels = torch.bucketize(maps, maps.new_tensor(THRESHOLDS), out_int32=True).flatten(2)
    bins = len(THRESHOLDS) + 1
    cells = levels.flatten(0, 1) + bins * torch.arange(levels[..., 0].numel(), dtype=torch.int32)[:, None]
    inside = truth[:, None].expand_as(maps).reshape(cells.shape)

    def above(pixels: Tensor) -> Tensor:
        counts = torch.bincount(pixels, minlength=cells.shape[0] * bins).view(*maps.shape[:2], bins)
        return counts.flip(-1).cumsum(-1).flip(-1)[..., 1:]

    overlap, area = above(cells[inside]), above(cells.flatten())
    return overlap / (area + truth.sum((1, 2))[:, None, None] - overlap).clamp(min=1)


def choose(fitted: RawAttentionScores, held_out: RawAttentionScores, mean: bool) -> dict[str, float]:
    """Held-out IoU of things and stuff under the head and threshold that were best on other scenes.

    ``mean``: the mean over all maps instead of the best single one. Things and stuff may choose differently.
    """
    channels = slice(-1, None) if mean else slice(0, -1)
    result = {}
    for row, name in enumerate(('stuff', 'thing')):
        table = fitted.mean_iou()[row, channels]
        best = int(table.argmax())
        result[f'mIoU_{name}'] = held_out.mean_iou()[row, channels].flatten()[best].item()
    return result
