"""Preprocessing steps that adapters share, bit for bit as the authors' processors do them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from flmm_plugin.structures import Region


def pad_to_square(image: Tensor, mean: Sequence[float]) -> tuple[Tensor, Region]:
    """Centre a uint8 (3, H, W) image on a square of the mean colour, ``int(mean * 255)``.

    Returns:
        (3, S, S) uint8, S the longer side, and where the image lies on it.
    """
    height, width = image.shape[1:]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    colour = torch.tensor([int(value * 255) for value in mean], dtype=torch.uint8)
    square = colour[:, None, None].repeat(1, side, side)
    square[:, top : top + height, left : left + width] = image
    return square, Region(top, left, height, width, side, side)


def normalize(image: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Scale uint8 (..., 3, H, W) to [0, 1], then subtract the mean and divide by the standard deviation; fp32."""
    scaled = (image.double() / 255).float()
    return (scaled - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
