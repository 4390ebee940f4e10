"""Which attention heads show best where phrases are: by the overlap of their raw maps with the truth.

Shape shorthand: P phrases, C maps (heads of all layers, for each grid), (h, w) attention grid.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dataset import pseudo_collate
from torch import Tensor

from flmm_plugin.evaluation.raw_attention import RawAttentionScores, score_raw_attention
from flmm_plugin.structures import size_of

LONGEST_SIDE = 128  # of the masks compared: maps are coarse, and there may be a thousand of them


def rank_heads(model: Any, dataset: Any, num_samples: int) -> tuple[list[int], list[float]]:
    """Heads from the best to the worst, and the mean IoU of each with the truth at its best threshold.

    Args:
        model: an :class:`FLMM`, of which the LMM alone is used, with all its heads.
        dataset: its samples hold an image and masks, as for training; ``num_samples`` of them, spread evenly, are read.
    """
    scores = score_raw_attention(maps_and_masks(model, dataset, spread(num_samples, len(dataset))))
    return order(scores, model.lmm.num_grids)


def spread(count: int, total: int) -> list[int]:
    """At most ``count`` of ``total`` indices, spread evenly."""
    count = min(count, total)
    return [number * total // count for number in range(count)]


def order(scores: RawAttentionScores, num_grids: int) -> tuple[list[int], list[float]]:
    """:func:`rank_heads` of scored maps; a head with several grids counts as the best of its maps."""
    iou = scores.iou.sum(0)[:-1] / scores.count.sum()  # the last map is the mean of all
    best = iou.amax(dim=1).unflatten(0, (num_grids, -1)).amax(dim=0)
    values, heads = best.sort(descending=True, stable=True)
    return heads.tolist(), values.tolist()


@torch.no_grad()
def maps_and_masks(model: Any, dataset: Any, indices: list[int]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Phrase by phrase its maps (1, C, h, w) over the image, its mask (1, H, W) and whether it is a thing (1,)."""
    for index in indices:
        batch = pseudo_collate([dataset[index]])
        prepared = model.prepare(batch['inputs'], batch['data_samples'])
        (outputs,) = model.lmm(prepared)
        region = prepared[0].finest_grid.region
        maps = outputs.attention_maps if region is None else region.crop(outputs.attention_maps)
        truth = batch['data_samples'][0].gt_instances
        masks = torch.as_tensor(truth.masks)
        height, width = size_of(masks)
        scale = min(1.0, LONGEST_SIDE / max(height, width))
        smaller = (round(height * scale), round(width * scale))
        small = F.interpolate(masks[None].float(), size=smaller, mode='nearest-exact')[0] > 0
        is_thing = torch.as_tensor(truth.get('is_thing', torch.ones(len(masks), dtype=torch.bool)))
        for phrase in range(len(masks)):
            one = slice(phrase, phrase + 1)
            yield maps[one].cpu(), small[one], is_thing[one]
