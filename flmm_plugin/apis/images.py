"""Pictures as users have them, to what the models read."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from flmm_plugin.errors import UserError

ImageLike = str | Path | NDArray[np.uint8] | Image.Image

#: Masks are made at the picture's own size: a phrase takes about 10 bytes a pixel.
MAX_PIXELS = 40_000_000
MIN_SIDE = 2


class ImageError(UserError, ValueError):
    """A picture that cannot be read; the message says which and why."""


def read_image(image: ImageLike, max_pixels: int = MAX_PIXELS) -> Tensor:
    """A uint8 RGB tensor (3, H, W).

    The orientation that a photo's EXIF data asks for is applied, transparent parts become white, 16-bit grey levels are
    scaled to 8 bits, and of an animation the first picture is taken.

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
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', Image.DecompressionBombWarning)  # check_size is stricter
            with Image.open(path) as file:
                check_size(file.width, file.height, max_pixels, f'{path}: ')
                return to_tensor(np.asarray(to_rgb(file)))
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f'{path} is not an image, or of a format that Pillow does not read') from None
    except Image.DecompressionBombError:
        raise ImageError(f'{path} is larger than {max_pixels / 1e6:.0f} megapixels: make it smaller first') from None
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f'{path} is damaged: {error}') from error


def check_size(width: int, height: int, max_pixels: int = MAX_PIXELS, where: str = '') -> None:
    """Refuse pictures that would fill the memory, and those with nothing to see."""
    if min(width, height) < MIN_SIDE:
        raise ImageError(f'{where}an image of {width} x {height} pixels shows nothing')
    if width * height > max_pixels:
        raise ImageError(
            f'{where}an image of {width} x {height} pixels ({width * height / 1e6:.0f} megapixels) is too large: at '
            f'most {max_pixels / 1e6:.0f} megapixels are read. Make it smaller first.'
        )


def to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB, upright."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith('I') or image.mode == 'F':
        return Image.fromarray(to_8_bits(np.asarray(image))).convert('RGB')
    if image.mode in ('RGBA', 'LA', 'PA', 'La', 'RGBa') or 'transparency' in image.info:
        opaque = Image.new('RGBA', image.size, 'white')
        opaque.alpha_composite(image.convert('RGBA'))
        return opaque.convert('RGB')
    return image.convert('RGB')


def to_8_bits(values: np.ndarray) -> NDArray[np.uint8]:
    """Grey levels of 16 bits to 8, fractions in [0, 1] to [0, 255]; what is in 8-bit range already stays."""
    values = values.astype(np.float64)
    top = values.max(initial=0)
    scale = 255 if top <= 1 and values.dtype.kind == 'f' and (values % 1).any() else 1 / 257 if top > 255 else 1
    return np.clip(np.rint(values * scale), 0, 255).astype(np.uint8)


def to_tensor(pixels: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 array -> (3, H, W) tensor of its own; PIL's arrays are read-only."""
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1)
