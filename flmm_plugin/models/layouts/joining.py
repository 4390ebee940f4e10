"""Tiles joined to a fine grid, beside the coarse one of a tile that shows the whole picture."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from flmm_plugin.models.layouts.errors import LayoutError
from flmm_plugin.models.layouts.tiles import Box, Tile


def join_tiles(tiles: Sequence[Tile]) -> tuple[Tile, ...]:
    """Coarse and fine grid of tiles in any order; one grid where there is one tile, or no tile of the whole picture."""
    if not tiles:
        raise LayoutError('the processor hands nothing of the picture to the model')
    if len(tiles) == 1:
        return (tiles[0],)
    whole = [tile for tile in tiles if shows_all(tile, tiles)]
    parts = [tile for tile in tiles if not shows_all(tile, tiles)]
    if not parts:
        return tuple(sorted(whole[:2], key=lambda tile: tile.tokens.numel()))
    fine = join_parts(parts)
    if not whole:
        return (fine,)
    coarse = min(whole, key=lambda tile: tile.tokens.numel())
    if not alike(coarse.box, fine.box, 1 / min(coarse.tokens.shape)):
        raise LayoutError(f'the tiles show {fine.box} of the picture, the overview {coarse.box}: they do not fit')
    return coarse, fine


def shows_all(tile: Tile, tiles: Sequence[Tile]) -> bool:
    """Does it show as much of the picture as all together, but for two of its pixels?"""
    slack_w, slack_h = (2 * tile.box.width / tile.size[1], 2 * tile.box.height / tile.size[0])
    return (
        tile.box.left < max(0.0, min(t.box.left for t in tiles)) + slack_w
        and tile.box.top < max(0.0, min(t.box.top for t in tiles)) + slack_h
        and tile.box.right > min(1.0, max(t.box.right for t in tiles)) - slack_w
        and tile.box.bottom > min(1.0, max(t.box.bottom for t in tiles)) - slack_h
    )


def join_parts(parts: Sequence[Tile]) -> Tile:
    """One grid of tiles that lie side by side without gap or overlap."""
    lefts, tops = distinct([p.box.left for p in parts]), distinct([p.box.top for p in parts])
    rows: list[list[Tile]] = [[] for _ in tops]
    for part in sorted(parts, key=lambda p: p.box.left):
        rows[nearest(tops, part.box.top)].append(part)
    shapes = {tuple(part.tokens.shape) for part in parts}
    if len(shapes) > 1 or any(len(row) != len(lefts) for row in rows):
        raise LayoutError(f'{len(parts)} tiles do not fill {len(tops)} rows of {len(lefts)}')
    corner, end = rows[0][0], rows[-1][-1]
    box = Box(corner.box.left, corner.box.top, end.box.right, end.box.bottom)
    across, down = sum(p.box.width for p in rows[0]), sum(row[0].box.height for row in rows)
    if abs(across - box.width) * corner.tokens.shape[1] > corner.box.width or (
        abs(down - box.height) * corner.tokens.shape[0] > corner.box.height
    ):
        raise LayoutError('the tiles overlap or leave gaps: they make no grid')
    tokens = torch.cat([torch.cat([part.tokens for part in row], dim=1) for row in rows])
    return Tile(tokens, box, (corner.size[0] * len(tops), corner.size[1] * len(lefts)))


def distinct(values: Sequence[float], tolerance: float = 0.02) -> list[float]:
    kept: list[float] = []
    for value in sorted(values):
        if not kept or value - kept[-1] > tolerance:
            kept.append(value)
    return kept


def nearest(values: Sequence[float], value: float) -> int:
    return min(range(len(values)), key=lambda index: abs(values[index] - value))


def alike(first: Box, second: Box, tolerance: float) -> bool:
    """Do two boxes show the same part of the picture? What reaches beyond it is padding."""
    pairs = zip(vars(first).values(), vars(second).values(), strict=True)
    return all(abs(min(max(a, 0.0), 1.0) - min(max(b, 0.0), 1.0)) <= tolerance for a, b in pairs)
