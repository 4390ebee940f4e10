"""Picture files of every kind, read one way for training, tests and conversations: upright 8-bit RGB.

- Orientation: as EXIF data say and annotation tools show it. Where an annotation states another size and the pixels as
  stored have it, as stored.
- Transparent parts are white; grey levels of 16 bits are scaled to 8; CMYK, palettes and grey become RGB.
- Of an animation the first picture is taken.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.fileio import get
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from flmm_plugin.errors import DataError

#: (height, width) as far as it is known
Size = tuple[int | None, int | None]

ORIENTATION = 0x0112
#: Of pictures that Pillow reads by plugins alone.
UNREADABLE = frozenset({'.heic', '.heif', '.jxl'})
#: Change values by compressing them: no ids and no masks.
LOSSY = frozenset({'JPEG', 'MPO'})
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(DataError):
    """A picture that cannot be read; the message says which and why."""


def read_rgb(
    path: str | Path, size: Size = (None, None), backend_args: dict[str, Any] | None = None
) -> NDArray[np.uint8]:
    """The picture of a file of any of mmengine's backends, (H, W, 3).

    ``size``: what an annotation states, by which the orientation is chosen; whether it fits is the caller's to see,
    by :func:`check_stated`.

    Raises:
        DataError: names the file.
    """
    with open_file(path, backend_args) as image:
        return np.array(to_rgb(image, size))


@cache
def picture_suffixes() -> frozenset[str]:
    """'.jpg', '.png' and the others of files that Pillow reads, and of pictures that it does not: they are an error."""
    known = Image.registered_extensions()
    return frozenset(suffix for suffix, kind in known.items() if kind in Image.OPEN) | UNREADABLE


@contextmanager
def open_file(path: str | Path, backend_args: dict[str, Any] | None = None) -> Iterator[Image.Image]:
    """A picture file, opened; a :class:`DataError` names it, also where its pixels turn out to be damaged."""
    try:
        content = get(path, backend_args=backend_args)
    except Exception as error:  # ValueError of names that no file can have, KeyError of unknown kinds of URLs
        raise DataError(f'The image {path} cannot be read: {error}.') from error
    try:
        with open_image(io.BytesIO(content), 'it') as image:
            yield image
    except ImageError as error:
        raise DataError(f'The image {path} cannot be decoded: {error}. Download or write it again.') from error


@contextmanager
def open_image(source: Any, name: str) -> Iterator[Image.Image]:
    """An image of Pillow's, from a path or a file object; an :class:`ImageError` says what is wrong with ``name``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # doubtful EXIF data, sizes that are looked at elsewhere
            with Image.open(source) as image:
                yield image
    except DataError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f'{name} is not an image, or of a format that Pillow does not read') from None
    except Image.DecompressionBombError as error:
        raise ImageError(f'{name} is too large: {error}') from error
    except Exception as error:  # damaged files raise OSError, SyntaxError, struct.error and others
        raise ImageError(f'{name} is damaged: {error}') from error


def to_rgb(image: Image.Image, size: Size = (None, None)) -> Image.Image:
    """8-bit RGB, upright, or as stored where only that has the ``size``."""
    image = orient(image, size)
    if image.mode.startswith('I') or image.mode == 'F':
        return Image.fromarray(to_8_bits(np.asarray(image))).convert('RGB')
    if image.mode in ('RGBA', 'LA', 'PA', 'La', 'RGBa') or 'transparency' in image.info:
        opaque = Image.new('RGBA', image.size, 'white')
        opaque.alpha_composite(image.convert('RGBA'))
        return opaque.convert('RGB')
    return image.convert('RGB')


def orient(image: Image.Image, size: Size = (None, None)) -> Image.Image:
    """Turned as EXIF data say, unless the annotated ``size`` is that of the pixels as stored alone."""
    try:
        turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # damaged EXIF data turn nothing, as in other programs
        turn = None
    if turn is None:
        return image
    turned = image.transpose(turn)
    return turned if fits(turned, size) or not fits(image, size) else image


def fits(image: Image.Image, size: Size) -> bool:
    """Whether an image has the (height, width), as far as that is known."""
    return all(stated in (None, found) for stated, found in zip(size, (image.height, image.width), strict=True))


def check_stated(shape: tuple[int, ...], size: Size, where: str, what: str = 'it') -> None:
    """Refuse a picture whose (height, width) is not the ``size`` that the annotation of ``what`` states."""
    annotated = [found if stated is None else stated for stated, found in zip(size, shape, strict=True)]
    if annotated != [*shape]:
        raise DataError(
            f'{where} is {shape[0]} x {shape[1]} pixels, but {what} is annotated as {annotated[0]} x {annotated[1]} '
            '(height x width).'
        )


def to_8_bits(values: np.ndarray) -> NDArray[np.uint8]:
    """Grey levels of 16 bits to 8, fractions in [0, 1] to [0, 255]; what is in 8-bit range already stays."""
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise ImageError('a picture of which some grey levels are NaN or infinite cannot be shown')
    low, top = values.min(initial=0), values.max(initial=0)
    if low < 0 or top > 65535:
        raise ImageError(
            f'its grey levels lie between {low:g} and {top:g}, and only 0 to 255, 0 to 65535 and fractions from 0 to 1 '
            'have a known white: scale them to one of these'
        )
    scale = 255 if top <= 1 and (values % 1).any() else 1 / 257 if top > 255 else 1
    return np.clip(np.rint(values * scale), 0, 255).astype(np.uint8)
