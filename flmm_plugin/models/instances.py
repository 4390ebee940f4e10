"""The things that one phrase names ("two red stars"), each with a mask of its own.

Shape shorthand: P phrases, K things or parts, (h, w) size of coarse logits, (H, W) image size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.structures import InstanceData
from torch import Tensor

from flmm_plugin.models.groundings import Grounding, refine_masks, to_instances
from flmm_plugin.models.hills import find_hills
from flmm_plugin.structures import size_of

#: Of the largest part's area: what is smaller is no thing of its own.
LEAST = 0.1
#: Of the smaller mask: two that overlap more are one thing.
OVERLAP = 0.5
#: A logit, and a share of the highest hill's height: what is lower is no thing, however many there should be.
LOWEST, LEAST_SHARE = -4.0, 0.15
#: Of each phrase how many things it says that there are; None where it says nothing.
Counts = Sequence[int | None]


def split(logits: Tensor, count: int | None = None) -> Tensor:
    """The parts (K, h, w) of a coarse mask (h, w), as logits in which the other parts are background.

    An empty mask is its own only part.

    Args:
        count: at most so many parts, by the hills of the logits (:func:`split_hills`); by default the connected ones.
    """
    return split_connected(logits) if count is None else split_hills(logits, count)


def split_hills(logits: Tensor, count: int) -> Tensor:
    """The ``count`` hills that stand out most, each cut at the share of its height at which zero cuts the highest.

    So things that touch are parted, and one that is fainter than the others is found below zero.
    """
    heights = logits - logits.min()
    highest = heights.max()
    if not logits.min() < 0 < logits.max():
        return logits[None]
    least = torch.maximum(LEAST_SHARE * highest, LOWEST - logits.min())
    numbers = torch.from_numpy(find_hills(heights.cpu().numpy(), count, float(least))).to(logits.device)
    parts = []
    for number in range(1, int(numbers.max()) + 1):
        place = numbers == number
        own = heights - (1 - logits.max() / highest) * heights[place].max()
        parts.append(torch.where(place, own, -own.abs()))
    return torch.stack(parts)


def split_connected(logits: Tensor) -> Tensor:
    """The connected parts (K, h, w), save for the smallest."""
    inside = (logits > 0).cpu().numpy().astype(np.uint8)
    _, labels, about, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    areas = about[1:, cv2.CC_STAT_AREA]
    kept = [part for part, area in enumerate(areas, start=1) if area >= LEAST * areas.max()]
    if not kept:
        return logits[None]
    places = torch.from_numpy(labels).to(logits.device)
    background = -logits.abs()
    return torch.stack([torch.where(places == part, logits, background) for part in kept])


def split_all(logits: Tensor, counts: Counts) -> tuple[Tensor, list[int]]:
    """:func:`split` of the masks (P, h, w) of an image, together, and the phrase of each part."""
    parts = [split(own, count) for own, count in zip(logits, counts, strict=True)]
    return torch.cat(parts), [phrase for phrase, own in enumerate(parts) for _ in own]


def merge(masks: Tensor, scores: Tensor) -> list[int]:
    """Which of a phrase's masks (K, H, W) are things of their own, the surest by ``scores`` (K,) first.

    Of two masks that overlap the surer stays; empty ones go.
    """
    flat = masks.flatten(1).float()
    areas, common = flat.sum(dim=1), flat @ flat.T
    shares = (common / torch.minimum(areas[:, None], areas).clamp(min=1)).tolist()
    kept: list[int] = []
    for index in scores.argsort(descending=True, stable=True).tolist():
        if areas[index] > 0 and all(shares[index][other] <= OVERLAP for other in kept):
            kept.append(index)
    return kept


def find_things(
    refiner: Any,
    images: Sequence[Tensor],
    features: Sequence[Any] | None,
    groundings: Sequence[Grounding],
    texts: Sequence[Sequence[Tensor]] | None,
    counts: Sequence[Counts],
) -> list[Grounding]:
    """The groundings with the things of their phrases: parts of the coarse masks, each refined by itself.

    Other arguments: see :func:`refine_masks`.
    """
    parts = [split_all(one.coarse, own) for one, own in zip(groundings, counts, strict=True)]
    words = None
    if texts is not None:
        words = [[own[phrase] for phrase in owners] for own, (_, owners) in zip(texts, parts, strict=True)]
    refined = refine_masks(refiner, images, features, [logits for logits, _ in parts], words)
    return [
        replace(one, things=things_of(to_instances(found, size_of(image)), owners, len(one.coarse)))
        for one, found, image, (_, owners) in zip(groundings, refined, images, parts, strict=True)
    ]


def things_of(found: InstanceData, owners: Sequence[int], count: int) -> tuple[tuple[Tensor, Tensor], ...]:
    """Of each of ``count`` phrases masks (K, H, W) and scores (K,); ``owners``: the phrase of each refined part."""
    result = []
    for phrase in range(count):
        own = [index for index, owner in enumerate(owners) if owner == phrase]
        kept = [own[index] for index in merge(found.masks[own], found.scores[own])]
        result.append((found.masks[kept], found.scores[kept]))
    return tuple(result)
