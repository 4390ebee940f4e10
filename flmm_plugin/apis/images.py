"""Pictures as users have them, to what the models read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from flmm_plugin.images import ImageError, open_image, to_rgb

ImageLike = str | Path | NDArray[np.uint8] | Image.Image

#: Masks are made at the picture's own size: a phrase takes about 10 bytes a pixel.
MAX_PIXELS = 40_000_000
MIN_SIDE = 2


def read_image(image: ImageLike, max_pixels: int = MAX_PIXELS) -> Tensor:
    """A uint8 RGB tensor (3, H, W).

    It is read as data sets read theirs, see :mod:`flmm_plugin.images`.

    Args:
        image: a path, an RGB array (H, W, 3) uint8 or a PIL image.

    Raises:
        ImageError: not a picture, damaged, or larger than ``max_pixels``.
    """
    if isinstance(image, (str, Path)):
        return read_file(Path(image), max_pixels)
    if isinstance(image, Image.Image):
        check_size(image.width, image.height, max_pixels)
        return to_tensor(np.asarray(to_rgb(image)))
    if not isinstance(image, np.ndarray):
        raise ImageError(f'an image is a path, an array or a PIL image, got {type(image).__name__}')
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ImageError(f'an image array must be (H, W, 3) uint8 RGB, got {image.shape} {image.dtype}')
    check_size(image.shape[1], image.shape[0], max_pixels)
    return to_tensor(image)


def read_file(path: Path, max_pixels: int = MAX_PIXELS) -> Tensor:
    """:func:`read_image` of a file; its size is looked at before it is decoded."""
    if not path.is_file():
        raise ImageError(f'there is no image file {path}')
    with open_image(path, str(path)) as file:
        check_size(file.width, file.height, max_pixels, f'{path}: ')
        return to_tensor(np.asarray(to_rgb(file)))


def check_size(width: int, height: int, max_pixels: int = MAX_PIXELS, where: str = '') -> None:
    """Refuse pictures that would fill the memory, and those with nothing to see."""
    if min(width, height) < MIN_SIDE:
        raise ImageError(f'{where}an image of {width} x {height} pixels shows nothing')
    if width * height > max_pixels:
        raise ImageError(
            f'{where}an image of {width} x {height} pixels ({width * height / 1e6:.0f} megapixels) is too large: at '
            f'most {max_pixels / 1e6:.0f} megapixels are read. Make it smaller first.'
        )


def to_tensor(pixels: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 array -> (3, H, W) tensor of its own; PIL's arrays are read-only."""
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1)
