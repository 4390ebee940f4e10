"""From what pixels show to tiles: regular grids of image tokens, each of which covers a part of the picture.

Shape shorthand: T tiles, (H, W) their size, P patches, n image tokens, (r, c) tokens of a tile.
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
    plain, ended = row_shape(each, height, width, 0), row_shape(each, height, width, 1)
    # Rows that end with a token of their own make square cells; counted as cells, those tokens would bend them.
    shape = ended if is_exact(ended, height, width) and not is_exact(plain, height, width) else plain
    if rest or shape is None or not same_aspect(*shape[:2], height, width):
        raise LayoutError(f'{count} image tokens do not lie on {tiles} tiles of {height} x {width} pixels: {NO_PLACE}')
    rows, cols, end = shape
    tokens = torch.arange(count).view(tiles, rows, cols + end)[..., :cols]
    return [pixel_tile(shown, index, own) for index, own in enumerate(tokens) if not shown.x[index].isnan().all()]


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


def patch_tiles(shown: Shown, count: int) -> list[Tile]:
    """Tiles of (T, P) flat patches: as many patches a token everywhere."""
    valid = ~shown.x.isnan()
    share, rest = divmod(int(valid.sum()), count)
    if rest or not share:
        raise LayoutError(f'{count} image tokens do not share {int(valid.sum())} patches evenly: {NO_PLACE}')
    side = math.sqrt(shown.values / 3)
    tiles, first = [], 0
    for x, y, own in zip(shown.x, shown.y, valid, strict=True):
        if not own.any():
            continue
        places = merge_patches(torch.stack([x[own], y[own]], dim=1), share)
        tokens, box = regular_grid(places, first)
        size = (round(tokens.shape[0] * side * math.sqrt(share)), round(tokens.shape[1] * side * math.sqrt(share)))
        tiles.append(Tile(tokens, box, size))
        first += tokens.numel()
    return tiles


def merge_patches(places: Tensor, share: int) -> Tensor:
    """Middles (n, 2) of tokens, each of ``share`` patches: consecutive ones, or a square of a row-major grid."""
    consecutive = places.unflatten(0, (-1, share)) if len(places) % share == 0 else None
    side = math.isqrt(share)
    if consecutive is not None and (side == 1 or is_square(consecutive, places, side)):
        return consecutive.mean(1)
    grid, _ = regular_grid(places, 0)
    rows, cols = grid.shape
    if side * side != share or rows % side or cols % side:
        raise LayoutError(f'{share} patches a token are no square of a grid of {rows} x {cols} patches: {NO_PLACE}')
    blocks = places[grid].view(rows // side, side, cols // side, side, 2)
    return blocks.mean((1, 3)).flatten(0, 1)


def is_square(groups: Tensor, places: Tensor, side: int) -> bool:
    """Do the patches (n, side * side, 2) of each token lie within ``side`` steps both ways?"""
    steps = torch.tensor([1 / max(len(clusters(axis)), 1) for axis in places.T])
    span = (groups.amax(1) - groups.amin(1)) / ((places.amax(0) - places.amin(0)).clamp(min=1e-9) + steps)
    return bool((span < steps * (side - 0.5)).all())


def clusters(values: Tensor) -> Tensor:
    """The distinct values of (n,) numbers that lie on a regular grid, but for rounding."""
    ordered = values.sort().values
    gaps = ordered.diff()
    if not len(gaps) or gaps.max() < 2e-3:
        return ordered.mean()[None]
    edges = (gaps > 0.5 * gaps.max()).nonzero().flatten() + 1
    return torch.stack([part.mean() for part in ordered.tensor_split(edges)])


def regular_grid(places: Tensor, first: int) -> tuple[Tensor, Box]:
    """The grid that the middles (n, 2) of tokens lie on: the tokens (r, c) of its cells, counted from ``first``."""
    xs, ys = clusters(places[:, 0]), clusters(places[:, 1])
    col = (places[:, :1] - xs).abs().argmin(1)
    row = (places[:, 1:] - ys).abs().argmin(1)
    cells = row * len(xs) + col
    if len(cells) != len(xs) * len(ys) or len(cells.unique()) != len(cells):
        raise LayoutError(f'{len(cells)} tokens do not fill a grid of {len(ys)} x {len(xs)} cells: {NO_PLACE}')
    return cells.argsort().view(len(ys), len(xs)) + first, Box(*span_of(xs, ys))


def span_of(xs: Tensor, ys: Tensor) -> tuple[float, float, float, float]:
    """left, top, right, bottom of cells with these middles; a single row or column reaches from edge to edge."""
    (left, right), (top, bottom) = (
        (0.0, 1.0)
        if len(middles) == 1
        else (
            float(middles[0] - (middles[-1] - middles[0]) / (len(middles) - 1) / 2),
            float(middles[-1] + (middles[-1] - middles[0]) / (len(middles) - 1) / 2),
        )
        for middles in (xs, ys)
    )
    return left, top, right, bottom
