"""Bilinear resizings of masks, with crops and paddings between them, as two matrix products.

Such a chain is linear, and does the same to every row and every column: what it does to the unit vectors of a side is
a matrix. No mask is laid out at the sizes between, and gradients are products as well.

Shape shorthand: P phrases, S input side of SAM, (h, w) size of masks, (H, W) image size.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from flmm_plugin.structures import size_of

Size = tuple[int, int]
#: Lengths that a side is resized to, each followed by the length that it is cropped or padded with zeros to.
Steps = tuple[Size, ...]


def fit_longest_side(size: Size, side: int) -> Size:
    """(height, width) of an image in SAM's input: its longer side is ``side``, the other at least a pixel."""
    scale = side / max(size)
    height, width = (max(int(length * scale + 0.5), 1) for length in size)
    return height, width


def lay_on_square(logits: Tensor, outside: Tensor, input_size: Size, side: int, prompt_size: Size) -> Tensor:
    """Mask prompts (P, 1, *prompt_size) fp32 of logits (P, h, w) over an image.

    The image fills ``input_size`` of SAM's square input; the logit ``outside`` it is () or (P, 1, 1).
    """
    steps = [((inside, side), (prompt, prompt)) for inside, prompt in zip(input_size, prompt_size, strict=True)]
    rows, columns = (_matrix(*about, logits.device) for about in zip(size_of(logits), steps, strict=True))
    missing = 1 - rows.sum(dim=1)[:, None] * columns.sum(dim=1)
    return (_product(rows, logits, columns) + outside * missing)[:, None]


def spread_over_image(masks: Tensor, whole: Size, side: int, input_size: Size, size: Size) -> Tensor:
    """SAM's masks at the image's size, (P, H, W) fp32; the same as its ``postprocess_masks``.

    ``masks``: (P, h, w), the upper left part of ``whole`` that :func:`needed` asks for, or more of it.
    """
    steps = [((side, inside), (full, full)) for inside, full in zip(input_size, size, strict=True)]
    rows, columns = (_matrix(*about, masks.device) for about in zip(whole, steps, strict=True))
    return _product(rows[:, : masks.shape[1]], masks, columns[:, : masks.shape[2]])


def needed(input_size: Size, side: int, whole: Size) -> Size:
    """The upper left part of SAM's masks, ``whole`` in all, in which an image of ``input_size`` lies."""
    height, width = (
        # The last pixel of the input lies between this pixel of the masks and the next.
        min(math.floor((inside - 0.5) * masks / side - 0.5) + 2, masks)
        for inside, masks in zip(input_size, whole, strict=True)
    )
    return height, width


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # a tensor of inference mode could not take part in training later
@torch.no_grad()
def _matrix(start: int, steps: Steps, device: torch.device) -> Tensor:
    """What the chain does to a side of length ``start``: (end, start) fp32."""
    side = torch.eye(start, device=device)[None]
    for resized, padded in steps:
        side = F.pad(F.interpolate(side, size=resized, mode='linear'), (0, padded - resized))
    return side[0].T.contiguous()


def _product(rows: Tensor, masks: Tensor, columns: Tensor) -> Tensor:
    """(H, h) x (P, h, w) x (w, W) in fp32: in half precision the logits' sums would be too coarse."""
    with torch.autocast(masks.device.type, enabled=False):
        return rows @ masks.float() @ columns.T
