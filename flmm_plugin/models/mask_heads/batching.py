"""Running a mask head on the maps of several images at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from flmm_plugin.structures import Region, size_of


def coarse_logits(head: nn.Module, maps: Sequence[Tensor], regions: Sequence[Region | None]) -> list[Tensor]:
    """The mask head's logits (P, H, W) over each image, from its maps (P, C, h, w) over the padded one.

    A head that has ``by_image`` reads the maps of one image at a time, without what shows padding.
    """
    if getattr(head, 'by_image', False):
        return [head(crop(one, region)) for one, region in zip(maps, regions, strict=True)]
    return [crop(logits, region) for logits, region in zip(apply_by_size(head, maps), regions, strict=True)]


def crop(maps: Tensor, region: Region | None) -> Tensor:
    """The part of (..., H, W) that shows the image."""
    return maps if region is None else region.crop(maps)


def apply_by_size(head: nn.Module, maps: Sequence[Tensor]) -> list[Tensor]:
    """The mask head's logits (P, H, W) of each image's maps (P, C, h, w). Those of one size share a call."""
    logits: dict[int, Tensor] = {}
    for size in {size_of(one) for one in maps}:
        members = [index for index, one in enumerate(maps) if size_of(one) == size]
        joint = head(torch.cat([maps[index] for index in members]))
        logits.update(zip(members, joint.split([len(maps[index]) for index in members]), strict=True))
    return [logits[index] for index in range(len(maps))]
