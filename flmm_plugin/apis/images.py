"""Pictures as users have them, to what the models read."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from flmm_plugin.apis.image_kinds import decode_text, is_url, to_picture
from flmm_plugin.images import ImageError, Size, check_stated, open_image, to_rgb

#: Arrays of any library that numpy reads, and file objects, are taken as well.
ImageLike = str | Path | bytes | IO[bytes] | NDArray[Any] | Tensor | Image.Image

#: Masks are made at the picture's own size: a phrase takes about 10 bytes a pixel.
MAX_PIXELS = 40_000_000
MIN_SIDE = 2


def read_image(image: ImageLike, max_pixels: int = MAX_PIXELS, stated: Size = (None, None)) -> Tensor:
    """A uint8 RGB tensor (3, H, W).

    It is read as data sets read theirs, see :mod:`flmm_plugin.images`.

    Args:
        image: a path, a data URI or base64 text, the bytes of a file, a file object, a PIL image, or an array or
            tensor, see :func:`~flmm_plugin.apis.image_kinds.to_picture`. Nothing is fetched from a URL.
        stated: (height, width) by an annotation, which chooses the orientation.

    Raises:
        DataError: not a picture, damaged, larger than ``max_pixels``, or of another size than stated.
    """
    if isinstance(image, str):
        content = None if is_url(image) else decode_text(image)
        return read_file(image, max_pixels, stated) if content is None else read_bytes(content, max_pixels, stated)
    if isinstance(image, os.PathLike):
        return read_file(image, max_pixels, stated)
    if isinstance(image, (bytes, bytearray, memoryview)):
        content = bytes(image)
        text = decode_text(content.decode('latin-1')) if content[:5].lower() == b'data:' else None
        return read_bytes(content if text is None else text, max_pixels, stated)
    if isinstance(image, Image.Image):
        try:
            return read_picture(image, max_pixels, stated)
        except OSError as error:  # Pillow may read its file only now
            raise ImageError(f'the image is damaged: {error}') from error
    if hasattr(image, '__array__'):
        return read_picture(to_picture(image), max_pixels, stated)
    if callable(getattr(image, 'read', None)):
        if callable(getattr(image, 'seekable', None)) and image.seekable():
            image.seek(0)  # as Pillow does: whoever wrote or read it has left it at its end
        content = image.read()
        if not isinstance(content, bytes):
            raise ImageError(
                f'the file object of an image gives {type(content).__name__}: open it as bytes (mode "rb")'
            )
        return read_bytes(content, max_pixels, stated)
    raise ImageError(f'an image is a path, bytes, an array, a tensor or a PIL image, got {type(image).__name__}')


def read_file(path: str | os.PathLike, max_pixels: int = MAX_PIXELS, stated: Size = (None, None)) -> Tensor:
    """:func:`read_image` of a file; its size is looked at before it is decoded."""
    if not os.path.isfile(path):
        remedy = ': a picture is not fetched from a URL, download it first' if is_url(str(path)) else ''
        raise ImageError(f'there is no image file {str(path)[:200]}{remedy}')
    with open_image(path, str(path)) as file:
        return read_picture(file, max_pixels, stated, f'{path}: ')


def read_bytes(content: bytes, max_pixels: int = MAX_PIXELS, stated: Size = (None, None)) -> Tensor:
    """:func:`read_image` of what a file holds."""
    with open_image(io.BytesIO(content), f'what was given as an image of {len(content)} bytes') as file:
        return read_picture(file, max_pixels, stated)


def read_picture(image: Image.Image, max_pixels: int, stated: Size = (None, None), where: str = '') -> Tensor:
    check_size(image.width, image.height, max_pixels, where)
    pixels = np.asarray(to_rgb(image, stated))
    check_stated(pixels.shape[:2], stated, f'{where}the picture')
    return to_tensor(pixels)


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
