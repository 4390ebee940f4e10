"""Running a mask head on the maps of several images at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from flmm_plugin.structures import size_of


def apply_by_size(head: nn.Module, maps: Sequence[Tensor]) -> list[Tensor]:
    """The mask head's logits (P, H, W) of each image's maps (P, C, h, w). Those of one size share a call."""
    logits: dict[int, Tensor] = {}
    for size in {size_of(one) for one in maps}:
        members = [index for index, one in enumerate(maps) if size_of(one) == size]
        joint = head(torch.cat([maps[index] for index in members]))
        logits.update(zip(members, joint.split([len(maps[index]) for index in members]), strict=True))
    return [logits[index] for index in range(len(maps))]
