"""The boxes around masks."""

from __future__ import annotations

import torch
from torch import Tensor


def mask_boxes(masks: Tensor) -> Tensor:
    """(P, 4) fp32 boxes x0, y0, x1, y1 of bool masks (P, H, W), far sides exclusive; the whole image where empty."""
    height, width = masks.shape[-2:]
    sides = []
    for filled, length in ((masks.any(dim=1), width), (masks.any(dim=2), height)):
        first = filled.float().argmax(dim=1)
        last = length - filled.flip(1).float().argmax(dim=1)
        sides.append((first, last))
    (x0, x1), (y0, y1) = sides
    # argmax of an empty mask is 0 on both sides, which gives the whole image.
    return torch.stack([x0, y0, x1, y1], dim=1).float()


def fill_boxes(masks: Tensor) -> Tensor:
    """The boxes around bool masks (P, H, W) as masks; empty masks stay empty."""
    x0, y0, x1, y1 = mask_boxes(masks)[:, :, None].unbind(dim=1)
    rows, columns = (torch.arange(length, device=masks.device) for length in masks.shape[-2:])
    inside = ((rows >= y0) & (rows < y1))[:, :, None] & ((columns >= x0) & (columns < x1))[:, None]
    return inside & masks.flatten(1).any(dim=1)[:, None, None]
