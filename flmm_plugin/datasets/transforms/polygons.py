"""Outlines of masks, checked before they are drawn.

pycocotools and OpenCV believe what they are given: a coordinate that is NaN or 1e8 makes them write beyond their
memory, which ends the process without a word.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from flmm_plugin.errors import DataError
from flmm_plugin.rle import decode_mask, real_numbers, rle_size

#: Corners of the smallest polygon, each of two coordinates.
MIN_CORNERS = 3
#: How far an outline may lead, in halves of the image's circumference; what is far outside is cut off pixel by pixel.
MAX_OUTLINE = 200


def decode_segmentation(segmentation: Any, height: int, width: int) -> NDArray[np.bool_]:
    """The mask (H, W) of a COCO ``segmentation``: polygons, united, or an RLE, compressed or not.

    A polygon of fewer than three corners has no inside; it is left out where another one remains.

    Raises:
        DataError: says what is wrong; the caller says where.
    """
    if isinstance(segmentation, Mapping):
        return _decode_rle(segmentation, height, width)
    try:
        parts = [check_corners(part, height, width) for part in solid_parts(segmentation)]
    except DataError as error:
        raise DataError(f'the segmentation cannot be decoded: {error}') from error
    encoded = coco_mask.frPyObjects([part.ravel().tolist() for part in parts], height, width)
    return coco_mask.decode(coco_mask.merge(encoded)).astype(bool)


def _decode_rle(encoded: Mapping[str, Any], height: int, width: int) -> NDArray[np.bool_]:
    try:
        if (size := rle_size(encoded)) == (height, width):
            return decode_mask(encoded)
    except DataError as error:
        raise DataError(f'the segmentation cannot be decoded: {error}') from error
    raise DataError(f'the RLE is {size}, the image {(height, width)} (H, W)')


def solid_parts(segmentation: Any) -> list[Sequence]:
    """The polygons of a COCO ``segmentation`` that have an inside: lists of coordinates x, y, x, y ..."""
    if not isinstance(segmentation, (list, tuple)):
        raise DataError(f'it is {segmentation!r:.40}, not polygons or an RLE')
    if segmentation and real_numbers(segmentation):
        segmentation = [segmentation]  # one polygon, not in a list of its own
    for part in segmentation:
        if not isinstance(part, (list, tuple, np.ndarray)):
            raise DataError(f'a polygon is a list of coordinates, not {part!r:.40}')
        check_numbers(part)
        if len(part) % 2:
            raise DataError(f'a polygon has {len(part)} coordinates, an odd number')
    solid = [part for part in segmentation if len(part) >= 2 * MIN_CORNERS]
    if not solid:
        raise DataError(f'it has no polygon of {MIN_CORNERS} corners or more')
    return solid


def check_corners(corners: Any, height: int, width: int) -> NDArray[np.float64]:
    """Corners (N, 2) x, y of an outline that can be drawn on an image of (H, W), from N pairs or 2 N numbers."""
    points = np.array(corners, dtype=object)
    if points.size % 2 or points.ndim not in (1, 2) or points.shape[1:] not in ((), (2,)):
        raise DataError('the corners of an outline are pairs of numbers')
    pairs = points.reshape(-1, 2)
    check_numbers(pairs.ravel().tolist())
    try:
        values = pairs.astype(np.float64)
    except OverflowError:  # of whole numbers, which know no bounds
        values = np.array([[np.inf, np.inf]])
    if not np.isfinite(values).all():
        raise DataError(f'a coordinate is {values[~np.isfinite(values)][0]}')
    outline = np.abs(values - np.roll(values, 1, axis=0)).max(axis=1, initial=0).sum()
    reach = max(outline, np.abs(values).max(initial=0))
    if reach > MAX_OUTLINE * (height + width):
        raise DataError(f'an outline reaches {reach:.4g} pixels, far beyond its image of {height} x {width}')
    return values


def check_numbers(coordinates: Collection[Any]) -> None:
    """Refuse coordinates that are text, truth values, null or lists."""
    if not real_numbers(coordinates):
        wrong = next(value for value in coordinates if not real_numbers([value]))
        raise DataError(f'a coordinate is {wrong!r:.40}, not a number')


def count_flat(segmentation: Any) -> int:
    """How many polygons of a COCO ``segmentation`` have no inside and are left out beside others; checks nothing."""
    if not isinstance(segmentation, (list, tuple)):
        return 0
    flat = [isinstance(part, (list, tuple)) and len(part) < 2 * MIN_CORNERS for part in segmentation]
    return 0 if all(flat) or real_numbers(segmentation) else sum(flat)
