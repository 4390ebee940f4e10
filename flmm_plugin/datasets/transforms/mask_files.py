"""Masks in picture files."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from flmm_plugin.errors import DataError
from flmm_plugin.images import LOSSY, open_file


class MaskFile(str):
    """The path of a mask's file, where a COCO ``segmentation`` could stand as well."""


def read_mask(path: str, size: tuple[int, int], backend_args: dict[str, Any] | None = None) -> NDArray[np.bool_]:
    """The mask (H, W) bool of a picture file of two values, of which black, 0 or transparent is not meant.

    Of a palette its colours are taken, as a person sees them; where all are alike, its indices.
    """
    with open_file(path, backend_args) as image:
        if image.format in LOSSY:
            raise DataError(f'{path} is a JPEG, which changes values: a mask is a PNG')
        values = read_values(image)
    if values.shape != size:
        raise DataError(f'the mask {path} is {values.shape}, its image {size} (H, W)')
    levels = np.unique(values)
    if len(levels) > 2 or (len(levels) == 2 and levels[0] != 0):
        raise DataError(f'{path} has {len(levels)} values ({levels[0]} ... {levels[-1]}), a mask has 0 and one other')
    if not levels[-1] >= 0:
        raise DataError(f'{path} has the value {levels[-1]}: a mask has 0 and one above')
    return values > 0


def read_values(image: Image.Image) -> NDArray[Any]:
    """A value for each pixel (H, W): its number, or colour and opacity as a number, black or transparent being 0."""
    if image.mode[0] in 'IF' or (image.mode in ('1', 'L') and 'transparency' not in image.info):
        return np.asarray(image)
    plain = image if image.mode in ('L', 'P', 'PA', 'LA', 'RGBA') else image.convert('RGB')
    rgba = np.array(plain.convert('RGBA'), dtype=np.int64)
    colours = rgba[..., :3] @ np.array([1, 256, 65536])
    if image.mode == 'P' and np.ptp(colours) == 0 and np.ptp(rgba[..., 3]) == 0 and np.ptp(np.asarray(image)) > 0:
        return np.asarray(image)
    return np.where((colours > 0) & (rgba[..., 3] > 0), colours + (255 - rgba[..., 3]) * 2**24, 0)
