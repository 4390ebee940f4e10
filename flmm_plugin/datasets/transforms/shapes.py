"""Labelled shapes, as labelme writes them: what is meant, and what is too doubtful to count."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flmm_plugin.datasets.transforms.polygons import MIN_CORNERS, check_corners
from flmm_plugin.errors import DataError

TARGET, IGNORED = 1, 255
Corners = NDArray[np.float64]  # (N, 2) x, y


def draw_shapes(
    shapes: Sequence[dict[str, Any]], height: int, width: int, source: str
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw ReasonSeg's ``shapes`` -> target and ignored pixels, (H, W) uint8, 0 or 1 each.

    As LISA does (``get_mask_from_json``), pixel for pixel: corners cut to whole pixels, outlines included, larger
    shapes beneath smaller ones. A label that contains "ignore" is ignored, "flag" means nothing, others are targets.
    Beside polygons, labelme's rectangles (two corners) and circles (centre, a point of the edge) are drawn. Polygons of
    fewer than three corners are left out where another shape remains. No target at all: nothing in the image is meant.

    ``source`` names the annotation in errors: for shapes that cannot be drawn, or targets outside the image.
    """
    canvas = np.zeros((height, width), np.uint8)
    try:
        meant = [shape for shape in map(check_shape, shapes) if shape['label'] != 'flag']
        solid = [shape for shape in meant if not is_flat(shape)]
        if meant and not solid:
            raise DataError(f'a polygon has at least {MIN_CORNERS} corners')
        outlines = [outline(shape, height, width) for shape in solid]
    except DataError as error:
        raise DataError(f'{source}: a shape cannot be drawn: {error}.') from error
    areas = [_fill(np.zeros_like(canvas), corners, TARGET).sum() for corners in outlines]
    for index in np.argsort(areas)[::-1]:  # of equal areas the last is drawn first, as there
        _fill(canvas, outlines[index], IGNORED if 'ignore' in solid[index]['label'] else TARGET)
    target = (canvas == TARGET).astype(np.uint8)
    if not target.any() and not all('ignore' in shape['label'] for shape in meant):
        raise DataError(f'{source}: no shape has a target pixel inside the image of {height} x {width}.')
    return target, (canvas == IGNORED).astype(np.uint8)


def check_shape(shape: Any) -> dict[str, Any]:
    """``label`` in lower case, ``points`` and ``shape_type`` of a record of labelme."""
    if not isinstance(shape, Mapping):
        raise DataError(f'it is {shape!r:.40}, not an object')
    label, points = shape.get('label'), shape.get('points')
    if not isinstance(label, str) or not isinstance(points, (list, tuple)):
        raise DataError("it needs 'label', a text, and 'points', a list")
    kind = shape.get('shape_type') or 'polygon'
    if not isinstance(kind, str) or kind not in OUTLINES:
        raise DataError(f'its type is {kind!r:.40}, and only these are drawn: {", ".join(OUTLINES)}')
    return dict(label=label.lower(), points=points, shape_type=kind)


def is_flat(shape: Mapping[str, Any]) -> bool:
    """Whether it is a polygon without an inside, left by a click too many."""
    return shape['shape_type'] == 'polygon' and len(shape['points']) < MIN_CORNERS


def count_flat_shapes(shapes: Sequence[Any]) -> int:
    """How many shapes are left out beside others for having no inside; checks nothing."""
    drawn = [shape for shape in shapes if isinstance(shape, Mapping) and isinstance(shape.get('points'), list)]
    flat = [is_flat({**shape, 'shape_type': shape.get('shape_type') or 'polygon'}) for shape in drawn]
    return 0 if all(flat) else sum(flat)


def outline(shape: Mapping[str, Any], height: int, width: int) -> Corners:
    """(N, 2) the corners of what encloses a checked shape on an image of (H, W)."""
    make, expected = OUTLINES[shape['shape_type']]
    points = check_corners(shape['points'], height, width)
    if expected and len(points) != expected:
        raise DataError(f'a {shape["shape_type"]} has {expected} points, this one {len(points)}')
    return make(points)


def rectangle(points: Corners) -> Corners:
    """Four corners out of two opposite ones."""
    (x0, y0), (x1, y1) = points
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])


def circle(points: Corners) -> Corners:
    """Corners of a circle about the first point through the second, at most half a pixel apart from it."""
    centre, edge = points
    radius = np.hypot(*(edge - centre))
    angles = np.linspace(0, 2 * np.pi, 8 + 4 * int(np.ceil(np.sqrt(radius) * 2)), endpoint=False)
    return centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


#: For each of labelme's shapes with an inside: its outline, and how many points it has (0: any number)
OUTLINES: dict[str, tuple[Callable[[Corners], Corners], int]] = {
    'polygon': (lambda points: points, 0),
    'rectangle': (rectangle, 2),
    'circle': (circle, 2),
    'oriented_rectangle': (lambda points: points, 4),
}


def _fill(canvas: NDArray[np.uint8], outline: Corners, value: int) -> NDArray[np.uint8]:
    corners = [outline.astype(np.int32)]
    cv2.polylines(canvas, corners, isClosed=True, color=(value,), thickness=1)
    cv2.fillPoly(canvas, corners, color=(value,))
    return canvas
