"""Masks in picture files."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmm_plugin.errors import DataError
from flmm_plugin.images import open_file


class MaskFile(str):
    """The path of a mask's file, where a COCO ``segmentation`` could stand as well."""


def read_mask(path: str, size: tuple[int, int], backend_args: dict[str, Any] | None = None) -> NDArray[np.bool_]:
    """The mask (H, W) bool of a picture file of two values, of which black, 0 or transparent is not meant."""
    with open_file(path, backend_args) as image:
        if image.format == 'JPEG':
            raise DataError(f'{path} is a JPEG, which changes values: a mask is a PNG')
        if image.mode in ('RGBA', 'LA', 'PA'):
            seen = np.asarray(image.getchannel('A')) > 0
            values = np.asarray(image.convert('L')) * seen
        else:
            values = np.asarray(image if image.mode in ('1', 'L', 'P') or image.mode[0] in 'IF' else image.convert('L'))
    if values.shape != size:
        raise DataError(f'the mask {path} is {values.shape}, its image {size} (H, W)')
    levels = np.unique(values)
    if len(levels) > 2 or (len(levels) == 2 and levels[0] != 0):
        raise DataError(f'{path} has {len(levels)} values ({levels[0]} ... {levels[-1]}), a mask has 0 and one other')
    return values > 0
