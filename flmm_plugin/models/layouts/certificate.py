"""Does each image token look at its cell? Asked of the model itself, exactly and whatever its weights.

Every cell has a row and a column; pictures are painted by their bits, each with its opposite: in the one the cells are
white whose bit is set, in the other the rest. A token says its bit by which of the two changes it more, and so, over
all pictures, the row and the column that it looks at.

Shape shorthand: (r, c) cells of a grid.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from flmm_plugin.models.layouts.errors import LayoutError
from flmm_plugin.models.layouts.localize import decoder_inputs
from flmm_plugin.models.layouts.tiles import Tile

SIZES = ((168, 280), (280, 168), (336, 560), (560, 336), (672, 1120), (1120, 672), (1344, 2240), (2240, 1344))
MIN_CELL = 8  # pixels of the picture, so that resizing does not mix a cell's paint with its neighbours'
INNER = 0.6  # of a cell's sides are painted
MAX_REACH = 0.25  # of the tokens may react to one cell where the tower is localised
MAX_OFFSET = 0.15  # of the picture's sides, for the centroid of a tower that cannot be localised
GREY = 110


@dataclass(frozen=True)
class Verdict:
    """``wrong``: the cells (grid, row, column) whose tokens look elsewhere; ``exact``: told by bits, else by centroids;
    ``worst``: the share of another cell's reaction, or the farthest centroid in parts of the picture's side."""

    size: tuple[int, int]
    cells: int
    wrong: tuple[tuple[int, int, int], ...]
    exact: bool
    worst: float

    def __str__(self) -> str:
        how = 'by bit pictures' if self.exact else 'by centroids (the vision tower cannot be localised)'
        return (
            f'{self.cells - len(self.wrong)} of {self.cells} cells of a {self.size[0]} x {self.size[1]} picture {how}'
        )


def certify_layout(lmm: Any, sizes: Sequence[tuple[int, int]] | None = None) -> list[Verdict]:
    """Examine two picture sizes, one wide and one high.

    Raises:
        LayoutError: a token looks elsewhere than measured; the message names the cells.
    """
    verdicts = [examine(lmm, size) for size in (certifiable_sizes(lmm) if sizes is None else sizes)]
    for verdict in verdicts:
        if verdict.wrong:
            named = ', '.join(f'row {row} column {col} of grid {grid}' for grid, row, col in verdict.wrong[:6])
            raise LayoutError(
                f'{lmm.name}: image tokens look elsewhere than their cells ({verdict}): {named}'
                f'{" ..." if len(verdict.wrong) > 6 else ""}. No word can be placed by them; tokens of a resampler '
                'look everywhere. certify=False loads it all the same'
            )
    return verdicts


def certifiable_sizes(lmm: Any, count: int = 2) -> list[tuple[int, int]]:
    """The first sizes whose cells are large enough to be painted apart."""
    large = [size for size in SIZES if all(min(cell_size(grid, size)) >= MIN_CELL for grid in lmm.layout(size).grids)]
    return (large or list(SIZES[-2:]))[:count]


def cell_size(grid: Tile, size: tuple[int, int]) -> tuple[float, float]:
    """(height, width) of a cell in pixels of a picture of ``size``."""
    rows, cols = grid.tokens.shape
    return grid.box.height * size[0] / rows, grid.box.width * size[1] / cols


def examine(lmm: Any, size: tuple[int, int]) -> Verdict:
    """Every cell of every grid that lies inside a picture of ``size`` (height, width)."""
    exact = localizable(lmm, size)
    wrong: list[tuple[int, int, int]] = []
    cells, worst = 0, 0.0
    for index, grid in enumerate(lmm.layout(size).grids):
        found, inside, figure = by_bits(lmm, grid, size, index) if exact else by_centroid(lmm, grid, size, index)
        wrong += [
            (index, *divmod(cell, grid.tokens.shape[1])) for cell in (found & inside).nonzero().flatten().tolist()
        ]
        cells, worst = cells + int(inside.sum()), max(worst, figure)
    return Verdict(size, cells, tuple(wrong), exact, worst)


def localizable(lmm: Any, size: tuple[int, int]) -> bool:
    """Does a spot reach few tokens only, once attention is switched off? Asked without knowing the layout."""
    start, places = blank(lmm, size, True), image_places(lmm, size)
    moved = reactions(lmm, size, start, places)
    return min(float((own > 0.01 * own.max()).float().mean()) for own in moved) <= max(MAX_REACH, 4 / len(places))


def reactions(lmm: Any, size: tuple[int, int], start: Tensor, places: Tensor) -> Iterator[Tensor]:
    """(n,) how far each of the image's tokens moves under a spot; two spots, for one may lie where tiles meet."""
    for down, across in ((0.3, 0.4), (0.55, 0.65)):
        spot = torch.zeros(size, dtype=torch.bool)
        top, left = int(size[0] * down), int(size[1] * across)
        high, wide = (max(1, min(MIN_CELL, side // 12)) for side in size)
        spot[top : top + high, left : left + wide] = True
        yield change(lmm, spot, start, True)[places]


def by_bits(lmm: Any, grid: Tile, size: tuple[int, int], index: int) -> tuple[Tensor, Tensor, float]:
    """Cells (r * c,) that look elsewhere, those that lie inside the picture, and the worst share of another's."""
    rows, cols = grid.tokens.shape
    places, start = grid_places(lmm, size, index), blank(lmm, size, True)
    row, col = torch.arange(rows).repeat_interleave(cols), torch.arange(cols).repeat(rows)
    inside = inside_cells(grid, size)
    wrong, worst = torch.zeros(rows * cols, dtype=torch.bool), 0.0
    for numbers in (row, col):
        for bit in range(max(1, int(numbers.max()).bit_length())):
            one = (numbers >> bit & 1).bool()
            react = [change(lmm, paint(grid, size, chosen), start, True)[places] for chosen in (one, ~one)]
            own, other = torch.where(one, react[0], react[1]), torch.where(one, react[1], react[0])
            wrong |= own <= other
            share = (other / own.clamp(min=1e-12))[inside & (own > other)]
            worst = max(worst, float(share.max()) if len(share) else 0.0)
    return wrong, inside, worst


def by_centroid(lmm: Any, grid: Tile, size: tuple[int, int], index: int) -> tuple[Tensor, Tensor, float]:
    """As :func:`by_bits`, by the middle of the tokens' change under 16 squares, white and black: a trained tower may
    hardly see one of the two."""
    rows, cols = grid.tokens.shape
    places, start = grid_places(lmm, size, index), blank(lmm, size, False)
    xs = (torch.arange(cols).repeat(rows) + 0.5) / cols * grid.box.width + grid.box.left
    ys = (torch.arange(rows).repeat_interleave(cols) + 0.5) / rows * grid.box.height + grid.box.top
    wrong, tried, worst = torch.zeros(rows * cols, dtype=torch.bool), torch.zeros(rows * cols, dtype=torch.bool), 0.0
    middles = (spread(grid.box.left, grid.box.right), spread(grid.box.top, grid.box.bottom))
    for x, y in itertools.product(*middles):
        spot = torch.zeros(size, dtype=torch.bool)
        top, left = int(size[0] * (y - 0.08)), int(size[1] * (x - 0.08))
        spot[top : top + max(1, int(size[0] * 0.16)), left : left + max(1, int(size[1] * 0.16))] = True
        white, black = (change(lmm, spot, start, False, value)[places] for value in (255, 0))
        changed = white + black
        weights = (changed - changed.median()).clamp(min=0) ** 2
        weights = weights / weights.sum().clamp(min=1e-12)
        offset = float((((weights * xs).sum() - x) ** 2 + ((weights * ys).sum() - y) ** 2).sqrt())
        cell = int(((xs - x) ** 2 + (ys - y) ** 2).argmin())
        tried[cell], wrong[cell], worst = True, wrong[cell] | (offset > MAX_OFFSET), max(worst, offset)
    return wrong, tried, worst


def spread(first: float, last: float) -> Tensor:
    """Four middles of squares between two edges of a grid, as far as they lie in the picture."""
    first, last = max(first, 0.0), min(last, 1.0)
    return first + (last - first) * torch.linspace(0.15, 0.85, 4)


def inside_cells(grid: Tile, size: tuple[int, int]) -> Tensor:
    """(r * c,) cells that lie inside the picture as a whole."""
    slack = 1.5  # pixels of the picture, for what is measured is rounded
    end_y, end_x = size[0] + slack, size[1] + slack
    return torch.tensor(
        [
            min(top, left) >= -slack and bottom <= end_y and right <= end_x
            for top, left, bottom, right in rectangles(grid, size, 1.0)
        ]
    )


def rectangles(grid: Tile, size: tuple[int, int], inner: float) -> Iterator[tuple[float, float, float, float]]:
    """top, left, bottom, right in pixels of the inner part of each cell, row by row."""
    rows, cols = grid.tokens.shape
    high, wide = cell_size(grid, size)
    for row in range(rows):
        for col in range(cols):
            top, left = grid.box.top * size[0] + row * high, grid.box.left * size[1] + col * wide
            edge_h, edge_w = high * (1 - inner) / 2, wide * (1 - inner) / 2
            yield top + edge_h, left + edge_w, top + high - edge_h, left + wide - edge_w


def paint(grid: Tile, size: tuple[int, int], chosen: Tensor) -> Tensor:
    """(H, W) bool: the inner part of the ``chosen`` (r * c,) cells."""
    canvas = torch.zeros(size, dtype=torch.bool)
    for painted, (top, left, bottom, right) in zip(chosen.tolist(), rectangles(grid, size, INNER), strict=True):
        if painted:
            canvas[max(0, round(top)) : max(0, round(bottom)), max(0, round(left)) : max(0, round(right))] = True
    return canvas


def blank(lmm: Any, size: tuple[int, int], localized: bool) -> Tensor:
    return decoder_inputs(lmm, torch.full((3, *size), GREY, dtype=torch.uint8), localized)


def change(lmm: Any, painted: Tensor, start: Tensor, localized: bool, value: int = 255) -> Tensor:
    """(N,) how far the decoder's inputs move from ``start`` where (H, W) is painted, white by default."""
    picture = torch.where(painted, value, GREY).to(torch.uint8).expand(3, -1, -1)
    return (decoder_inputs(lmm, picture, localized) - start).norm(dim=-1)


def image_places(lmm: Any, size: tuple[int, int]) -> Tensor:
    sample = lmm.prepare(torch.zeros(3, *size, dtype=torch.uint8), 'a')
    return (sample.input_ids == lmm.image_token_id).nonzero().flatten()


def grid_places(lmm: Any, size: tuple[int, int], index: int) -> Tensor:
    sample = lmm.prepare(torch.zeros(3, *size, dtype=torch.uint8), 'a')
    return sample.grids[index - len(lmm.layout(size).grids)].columns
