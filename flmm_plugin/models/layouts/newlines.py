"""Tiles whose rows are joined, freed of padding, and each ended by a token of its own.

LLaVA-NeXT's way, and LLaVA-OneVision's, which makes the grid smaller where it would be too large. How many rows there
are the processor does not tell: they are those that fit the count and the picture's aspect best.
"""

from __future__ import annotations

import math

import torch

from flmm_plugin.models.layouts.errors import LayoutError
from flmm_plugin.models.layouts.joining import join_parts
from flmm_plugin.models.layouts.ramp import Shown
from flmm_plugin.models.layouts.tiles import Box, Tile, pixel_tile


def newline_tiles(shown: Shown, count: int, patch: int) -> list[Tile]:
    """The whole picture first, then the grid: ``count`` tokens in all, the ones that end rows among them."""
    rows, cols = (length // patch for length in shown.x.shape[1:])
    base = pixel_tile(shown, 0, torch.arange(rows * cols).view(rows, cols))
    parts = [pixel_tile(shown, i, base.tokens) for i in range(1, len(shown.x)) if not shown.x[i].isnan().all()]
    rest = count - base.tokens.numel()
    if not parts or rest < 2:
        raise LayoutError(f'{count} image tokens are not {rows} x {cols} and rows that end with a token')
    full = join_parts(parts)
    aspect = full.box.width / full.tokens.shape[1] / (full.box.height / full.tokens.shape[0])  # of a cell
    rows, cols = min(
        ((r, rest // r - 1) for r in range(1, rest // 2 + 1) if rest % r == 0),
        key=lambda shape: abs(math.log(aspect * shape[1] / shape[0])),
    )
    if abs(aspect * cols / rows - 1) > 1.5 / min(rows, cols):
        raise LayoutError(f'{rest} image tokens are no rows that end with a token and fit the picture')
    tokens = torch.arange(rest).view(rows, cols + 1)[:, :-1] + base.tokens.numel()
    return [base, Tile(tokens, middle(full, rows, cols), (rows * patch, cols * patch))]


def middle(full: Tile, rows: int, cols: int) -> Box:
    """What is left of a grid where padding was cut off both sides; all of the picture where it was resized besides."""
    all_rows, all_cols = full.tokens.shape
    if (rows == all_rows) == (cols == all_cols) and (rows, cols) != (all_rows, all_cols):
        return Box(0.0, 0.0, 1.0, 1.0)
    high, wide = full.box.height / all_rows, full.box.width / all_cols
    top, left = full.box.top + (all_rows - rows) // 2 * high, full.box.left + (all_cols - cols) // 2 * wide
    return Box(left, top, left + cols * wide, top + rows * high)
