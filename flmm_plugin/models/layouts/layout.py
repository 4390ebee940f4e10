"""The layout of an image's tokens: one grid, or a coarse and a fine one.

Tiles are joined to the fine grid; a tile that shows the whole picture beside them is the coarse one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from flmm_plugin.models.layouts.joining import join_tiles
from flmm_plugin.models.layouts.newlines import newline_tiles
from flmm_plugin.models.layouts.patches import patch_tiles
from flmm_plugin.models.layouts.ramp import Process, measure
from flmm_plugin.models.layouts.tiles import Tile, square_tiles
from flmm_plugin.structures import ImageGrid, Region


@dataclass(frozen=True)
class Layout:
    """``grids``: coarse first; ``tokens`` of a tile are counted among the image's tokens (breaks are none of them)."""

    grids: tuple[Tile, ...]

    @property
    def target_size(self) -> tuple[int, int]:
        """(height, width) in pixels of the picture as the finest grid sees it."""
        region = region_of(self.grids[-1])
        return self.grids[-1].size if region is None else (region.height, region.width)

    def image_grids(self, places: Tensor, count: int) -> tuple[ImageGrid, ...]:
        """``count`` grids, the coarsest repeated; ``places``: (n,) positions of the image's tokens in the block."""
        grids = [self.grids[0]] * (count - len(self.grids)) + list(self.grids)
        return tuple(
            ImageGrid(places[tile.tokens.flatten()], tile.tokens.shape[0], tile.tokens.shape[1], region_of(tile))
            for tile in grids
        )


def measure_layout(process: Process, size: tuple[int, int], count: int, hints: Any) -> Layout:
    """The layout for pictures of ``size`` (height, width).

    Args:
        process: what turns a picture into the model's inputs.
        count: how many image tokens there are.
        hints: the model's config, asked for the patch of the vision tower where rows end with tokens of their own.

    Raises:
        LayoutError: the tokens lie on no grid that can be told.
    """
    shown = measure(process, size)
    if shown.is_flat:
        tiles = patch_tiles(shown, count)
    elif getattr(hints, 'image_grid_pinpoints', None) is not None:
        tiles = newline_tiles(shown, count, hints.vision_config.patch_size)
    else:
        tiles = square_tiles(shown, count)
    return Layout(join_tiles(tiles))


def region_of(tile: Tile) -> Region | None:
    """Where the picture lies on the tile, to the pixel; None where it fills it."""
    height, width = tile.size
    shown_h, shown_w = round(height / tile.box.height), round(width / tile.box.width)
    top, left = round(-tile.box.top * height / tile.box.height), round(-tile.box.left * width / tile.box.width)
    off = (abs(top) / height, abs(left) / width, abs(shown_h - height) / height, abs(shown_w - width) / width)
    if max(off) * max(tile.tokens.shape) < 0.25:  # a quarter of a cell: rounding, or a patch that was left over
        return None
    return Region(top, left, shown_h, shown_w, height, width)
