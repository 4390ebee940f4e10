"""What is cut out for a closer look: the box of a mask, made larger by one of three rules."""

from __future__ import annotations

from collections.abc import Callable

Box = tuple[int, int, int, int]
#: From a tight box x0, y0, x1, y1 (far sides exclusive), a scale and the image's (H, W) to the box that is cut out.
Crop = Callable[[Box, float, tuple[int, int]], Box]

HALF_SIDE = 8
HALF_SQUARE = 112


def scale_box(box: Box, scale: float, size: tuple[int, int]) -> Box:
    """A box about the same centre, ``scale`` times as wide and high, within an image of (H, W), at least 2 pixels."""
    height, width = size
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half_x, half_y = max((box[2] - box[0]) * scale / 2, 1), max((box[3] - box[1]) * scale / 2, 1)
    x0, y0 = max(0, min(int(x - half_x), width - 2)), max(0, min(int(y - half_y), height - 2))
    return x0, y0, max(x0 + 2, min(width, round(x + half_x))), max(y0 + 2, min(height, round(y + half_y)))


def authors_box(box: Box, scale: float, size: tuple[int, int]) -> Box:
    """F-LMM's authors' (``mask2box``): each half side has at least 8 pixels, which ``scale`` multiplies.

    Sides are counted from the first to the last pixel, and cut to whole pixels and to the image of (H, W).
    """
    height, width = size
    sides = []
    for first, last, length in ((box[0], box[2] - 1, width), (box[1], box[3] - 1, height)):
        half, centre = max((last - first) / 2, HALF_SIDE) * scale, (first + last) / 2
        sides.append((int(max(0, centre - half)), int(min(length, centre + half))))
    (x0, x1), (y0, y1) = sides
    return x0, y0, x1, y1


def square_box(box: Box, scale: float, size: tuple[int, int]) -> Box:
    """Visual CoT's own loader's (``cropwithbbox``): a square whose half side has at least 112 pixels.

    It is moved into the image of (H, W), and cut where that is smaller. The loader knows no ``scale``.
    """
    height, width = size
    half = max(int((box[2] - box[0]) * scale) // 2, int((box[3] - box[1]) * scale) // 2, HALF_SQUARE)
    sides = []
    for first, last, length in ((box[0], box[2], width), (box[1], box[3], height)):
        centre = (first + last) // 2
        centre = max(centre, half)
        centre = min(centre, length - half)  # in this order, which matters where the image is smaller
        sides.append((max(0, centre - half), min(length, centre + half)))
    (x0, x1), (y0, y1) = sides
    return x0, y0, x1, y1


CROPS: dict[str, Crop] = {'tight': scale_box, 'authors': authors_box, 'square': square_box}
