"""Pictures so elongated that an LMM sees no part of them."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from flmm_plugin.errors import UserError
from flmm_plugin.structures import ImageInputs, size_of

#: A processor's error is the picture's fault where one side is so many times the other.
ELONGATED = 8


class ShapeError(UserError, ValueError):
    """A picture of a shape that the LMM cannot be given."""


def preprocess_shape(preprocess: Callable[[Tensor], ImageInputs], image: Tensor) -> ImageInputs:
    """``preprocess(image)`` of a uint8 picture (3, H, W).

    Raises:
        ShapeError: the picture is too elongated for the LMM's processor, or for a grid to show a row of it.
    """
    height, width = size_of(image)
    remedy = (
        f'a picture of {width} x {height} pixels is too elongated for this LMM: crop it, or add margins, until the '
        f'longer side is less than {ELONGATED} times the shorter'
    )
    try:
        made = preprocess(image)
    except (ValueError, RuntimeError, ZeroDivisionError) as error:
        if max(height, width) < 2:
            raise ShapeError(
                'this LMM has no use for a picture of a single pixel: no part of it can be told'
            ) from error
        if max(height, width) < ELONGATED * min(height, width):
            raise
        raise ShapeError(f'{remedy} ({error})') from error
    if any(min(grid.height, grid.width) < 1 for grid in made.grids):
        raise ShapeError(remedy)
    return made
