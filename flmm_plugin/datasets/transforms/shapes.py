"""Labelled polygons: what is meant, and what is too doubtful to count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from flmm_plugin.errors import DataError

TARGET, IGNORED = 1, 255


def draw_shapes(
    shapes: Sequence[dict[str, Any]], height: int, width: int, source: str
) -> tuple[np.ndarray, np.ndarray]:
    """Draw ReasonSeg's ``shapes`` -> target and ignored pixels, (H, W) uint8, 0 or 1 each.

    As LISA does (``get_mask_from_json``), pixel for pixel: corners cut to whole pixels, outlines included, larger
    shapes beneath smaller ones. A label that contains "ignore" is ignored, "flag" means nothing, others are targets.

    ``source`` names the annotation in errors: for shapes that cannot be drawn, or without a target inside the image.
    """
    try:
        kept = [(shape['label'].lower(), shape['points']) for shape in shapes if shape['label'].lower() != 'flag']
        areas = [_draw(np.zeros((height, width), np.uint8), points, TARGET).sum() for _, points in kept]
        canvas = np.zeros((height, width), np.uint8)
        for index in np.argsort(areas)[::-1]:  # of equal areas the last is drawn first, as there
            label, points = kept[index]
            _draw(canvas, points, IGNORED if 'ignore' in label else TARGET)
    except (cv2.error, ValueError, TypeError, AttributeError) as error:
        raise DataError(f'{source}: a shape cannot be drawn: {error}') from error
    target = (canvas == TARGET).astype(np.uint8)
    if not target.any():
        raise DataError(f'{source}: no shape has a target pixel inside the image of {height} x {width}.')
    return target, (canvas == IGNORED).astype(np.uint8)


def _draw(canvas: np.ndarray, points: Sequence, value: int) -> np.ndarray:
    corners = [np.array(points, dtype=np.float64).astype(np.int32)]
    cv2.polylines(canvas, corners, isClosed=True, color=(value,), thickness=1)
    cv2.fillPoly(canvas, corners, color=(value,))
    return canvas
