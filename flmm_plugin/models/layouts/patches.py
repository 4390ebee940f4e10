"""From where flat patches look to regular grids of image tokens, each token made of some of the patches.

Shape shorthand: T tiles, P patches, n image tokens, (r, c) tokens of a tile.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from flmm_plugin.models.layouts.errors import LayoutError
from flmm_plugin.models.layouts.ramp import Shown
from flmm_plugin.models.layouts.tiles import NO_PLACE, Box, Tile, fit_line


def patch_tiles(shown: Shown, count: int) -> list[Tile]:
    """Tiles of (T, P) flat patches: as many patches a token everywhere."""
    if shown.pooling is not None:
        return pooled_tiles(shown, shown.pooling, count)
    if shown.rows is not None and shown.x.isnan().any():
        shown = without_padding(shown, shown.rows)
    valid = ~shown.x.isnan()
    share, rest = divmod(int(valid.sum()), count)
    if shown.rows is not None and (rest or math.isqrt(share) ** 2 != share):
        return ended_tiles(shown, shown.rows, count)
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


def ended_tiles(shown: Shown, rows: int, count: int) -> list[Tile]:
    """The one tile of patches in ``rows`` of which squares make a token, where a token more ends each row of tokens.

    Those count as the image's, and so may one before the first row and one after the last.
    """
    cols = shown.x.shape[1] // rows
    for side in (side for side in range(1, min(rows, cols) + 1) if rows % side == 0 == cols % side):
        high, wide = rows // side, cols // side
        around = count - high * (wide + 1)
        if around in (0, 2):
            cells, box = regular_grid(merge_patches(torch.stack([shown.x[0], shown.y[0]], dim=1), side * side), 0)
            pixels = side * math.sqrt(shown.values / 3)
            tokens = cells + cells // wide + around // 2
            return [Tile(tokens, box, (round(high * pixels), round(wide * pixels)))]
    raise LayoutError(f'{count} image tokens do not share {rows} x {cols} patches evenly: {NO_PLACE}')


def without_padding(shown: Shown, rows: int) -> Shown:
    """Places of patches in ``rows`` that are filled up with padding, as if the picture went on there."""
    left, top, right, bottom = line_box(torch.stack([shown.x[0], shown.y[0]], dim=1).unflatten(0, (rows, -1)))
    cols = shown.x.shape[1] // rows
    xs, ys = (torch.arange(cols) + 0.5) / cols, (torch.arange(rows) + 0.5) / rows
    across, down = left + xs * (right - left), top + ys * (bottom - top)
    return Shown(across.repeat(rows)[None], down.repeat_interleave(cols)[None], shown.values)


def pooled_tiles(shown: Shown, pooling: Tensor, count: int) -> list[Tile]:
    """Tiles of tokens each of which the processor names its patches: (n, k) int64, -1 for none.

    Rows of tokens follow one another, tile by tile.
    """
    if len(pooling) != count:
        raise LayoutError(f'{count} image tokens, and patches are named for {len(pooling)}')
    known = (pooling >= 0)[..., None]
    patches = torch.stack([shown.x.flatten(), shown.y.flatten()], dim=1)[pooling.clamp(min=0)]
    places = (patches * known).sum(1) / known.sum(1)
    tiles, first, pixels = [], 0, math.sqrt(shown.values / 3 * pooling.shape[1])
    for rows, cols in shown.grids:
        grid = places[first : first + rows * cols].unflatten(0, (rows, cols))
        tokens = torch.arange(first, first + rows * cols).view(rows, cols)
        tiles.append(Tile(tokens, Box(*line_box(grid)), (round(rows * pixels), round(cols * pixels))))
        first += rows * cols
    return tiles


def line_box(grid: Tensor) -> tuple[float, float, float, float]:
    """left, top, right, bottom of cells with these middles (r, c, 2), of which those at the edges may be cut off."""
    rows, cols = grid.shape[:2]
    (left, right), (top, bottom) = fit_line(grid[..., 0].nanmean(0), cols), fit_line(grid[..., 1].nanmean(1), rows)
    return left, top, right, bottom


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
