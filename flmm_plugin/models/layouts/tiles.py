"""From what pixels show to tiles: regular grids of image tokens, each of which covers a part of the picture.

Shape shorthand: T tiles, (H, W) their size, n image tokens, (r, c) tokens of a tile.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from flmm_plugin.models.layouts.errors import LayoutError
from flmm_plugin.models.layouts.ramp import Shown

NO_PLACE = (
    'tokens of a resampler have no place, and no grounding; for other LMMs an adapter of their own can say where they '
    'lie (docs/lmms.md)'
)


@dataclass(frozen=True)
class Box:
    """A part of the picture in parts of its sides; it reaches beyond 0 and 1 where padding is shown."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top


@dataclass(frozen=True)
class Tile:
    """``tokens``: (r, c) int64, which of the image's tokens look at the cells; ``box``: what they look at together;
    ``size``: (height, width) in pixels of what the model is given of that."""

    tokens: Tensor
    box: Box
    size: tuple[int, int]


def square_tiles(shown: Shown, count: int) -> list[Tile]:
    """Tiles of (T, H, W) pixels, whose ``count`` tokens are shared out evenly, row by row."""
    tiles, height, width = shown.x.shape
    each, rest = divmod(count, tiles)
    lead, shape = 0, tile_shape(each, height, width)
    if shape is None:  # a class token that is kept comes before the patches
        lead, shape = 1, tile_shape(each - 1, height, width)
        shape = shape if is_exact(shape, height, width) else None
    if rest or shape is None:
        raise LayoutError(f'{count} image tokens do not lie on {tiles} tiles of {height} x {width} pixels: {NO_PLACE}')
    rows, cols, end = shape
    tokens = torch.arange(count).view(tiles, each)[:, lead:].view(tiles, rows, cols + end)[..., :cols]
    return [pixel_tile(shown, index, own) for index, own in enumerate(tokens) if not shown.x[index].isnan().all()]


def tile_shape(each: int, height: int, width: int) -> tuple[int, int, int] | None:
    """Rows, columns and what ends each row, of ``each`` tokens on a tile; None if they do not fill it."""
    plain, ended = row_shape(each, height, width, 0), row_shape(each, height, width, 1)
    # Rows that end with a token of their own make square cells; counted as cells, those tokens would bend them.
    shape = ended if is_exact(ended, height, width) and not is_exact(plain, height, width) else plain
    return shape if shape is not None and same_aspect(*shape[:2], height, width) else None


def row_shape(each: int, height: int, width: int, end: int) -> tuple[int, int, int] | None:
    """Rows and columns of ``each`` tokens on a tile, ``end`` more at the end of each row; None if there are none."""
    aspect = width / height
    rows = round((math.sqrt(end + 4 * aspect * each) - end) / (2 * aspect))
    return (rows, each // rows - end, end) if rows and each % rows == 0 and each // rows > end else None


def is_exact(shape: tuple[int, int, int] | None, height: int, width: int) -> bool:
    """Are the cells of a tile square?"""
    return shape is not None and height * shape[1] == width * shape[0]


def same_aspect(rows: int, cols: int, height: int, width: int) -> bool:
    """Cells are square, but for what a patch too many leaves at the edge."""
    return rows > 0 and cols > 0 and 0.8 < (height / rows) / (width / cols) < 1.25


def pixel_tile(shown: Shown, index: int, tokens: Tensor) -> Tile:
    """One tile of pixels. What is left over where the patches do not fill it, nobody looks at."""
    height, width = (length // cells * cells for length, cells in zip(shown.x.shape[1:], tokens.shape, strict=True))
    left, right = fit_line(shown.x[index].nanmean(0), width)
    top, bottom = fit_line(shown.y[index].nanmean(1), height)
    return Tile(tokens, Box(left, top, right, bottom), (height, width))


def fit_line(places: Tensor, length: int) -> tuple[float, float]:
    """Where the first of ``length`` pixels begins and the last one ends, given the middles of some; nan counts not."""
    known = (~places.isnan()).nonzero().flatten()
    # The outermost pixels are mixed with padding, or hold an edge that resizing has bent.
    inner = known[1:-1] if len(known) > 4 else known
    if len(inner) < 2:
        if len(places) != 1 or not len(known):
            raise LayoutError('the processor shows too little of the picture to tell where')
        return 0.0, 1.0
    at = inner.double() + 0.5
    slope = ((at - at.mean()) * (places[inner] - places[inner].mean())).sum() / ((at - at.mean()) ** 2).sum()
    start = float(places[inner].mean() - slope * at.mean())
    return start, start + float(slope) * length
