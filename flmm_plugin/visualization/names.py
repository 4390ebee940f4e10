"""Names on a picture, each on its mask or as near to it as the others leave room."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

Box = tuple[int, int, int, int]  # x0, y0, x1, y1
ENOUGH = 2e6  # pixels of a mask's box that a name is placed by


def inner_point(mask: np.ndarray) -> tuple[int, int]:
    """x, y of the point of a mask (H, W) that is farthest from its border; of a large mask to within a few pixels."""
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8, copy=False))
    step = max(1, round(math.sqrt(width * height / ENOUGH)))
    inside = np.pad(mask[top : top + height : step, left : left + width : step], 1).astype(np.uint8)
    distances = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
    y, x = np.unravel_index(distances.argmax(), distances.shape)
    return left + (int(x) - 1) * step, top + (int(y) - 1) * step


def place(size: tuple[int, int], anchor: tuple[int, int], canvas: tuple[int, int], taken: Sequence[Box]) -> Box:
    """The box of ``size`` (width, height) nearest to ``anchor`` that lies on the canvas and on no other box.

    Where the canvas is full, the one that covers least of the others.
    """
    best: Box | None = None
    least = 0
    for box in candidates(size, anchor, canvas):
        covered = sum(overlap(box, other) for other in taken)
        if not covered:
            return box
        if best is None or covered < least:
            best, least = box, covered
    assert best is not None
    return best


def candidates(size: tuple[int, int], anchor: tuple[int, int], canvas: tuple[int, int]) -> Iterator[Box]:
    """Boxes on the canvas, the nearest to the anchor first."""
    step_x, step_y = max(size[0] // 4, 1), max(size[1] // 2, 1)
    across, down = canvas[0] // step_x + 1, canvas[1] // step_y + 1
    moves_x = np.arange(-across, across + 1) * step_x
    moves_y = np.arange(-down, down + 1) * step_y
    distances = (moves_x[:, None] ** 2 + moves_y**2).ravel()
    lefts = np.clip(anchor[0] + moves_x - size[0] // 2, 0, max(canvas[0] - size[0] - 1, 0))
    tops = np.clip(anchor[1] + moves_y - size[1] // 2, 0, max(canvas[1] - size[1] - 1, 0))
    for index in distances.argsort(kind='stable'):
        left, top = int(lefts[index // len(tops)]), int(tops[index % len(tops)])
        yield left, top, left + size[0], top + size[1]


def overlap(first: Box, second: Box) -> int:
    """Area in pixels that two boxes share."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return max(width, 0) * max(height, 0)
