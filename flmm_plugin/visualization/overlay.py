"""One picture with its masks: filled, outlined, named, no name over another.

Shape shorthand: (H, W) image size, (h, w) attention grid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import matplotlib
import numpy as np
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont

from flmm_plugin.visualization.colors import rgb, text_color

SMALLEST = 640  # pixels of the longer side below which a picture is enlarged, so that names can be read on it
FILL = 0.35
Box = tuple[int, int, int, int]  # x0, y0, x1, y1


@dataclass(frozen=True)
class Layer:
    """A mask (H, W) bool, its name and its colour '#rrggbb'."""

    mask: np.ndarray
    name: str
    color: str


def draw_overlay(image: np.ndarray, layers: Sequence[Layer], smallest: int = SMALLEST) -> np.ndarray:
    """Draw masks and names on an image (H, W, 3) uint8 RGB; small images are enlarged by a whole factor."""
    factor = max(1, round(smallest / max(image.shape[:2])))
    size = (image.shape[1] * factor, image.shape[0] * factor)
    canvas = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC if factor > 1 else cv2.INTER_NEAREST)
    masks = [cv2.resize(layer.mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) for layer in layers]
    width = max(1, round(min(size) / 250))
    # Large masks first, so that small ones are not covered.
    for index in sorted(range(len(layers)), key=lambda i: -int(masks[i].sum())):
        fill_mask(canvas, masks[index], rgb(layers[index].color), width)
    return draw_names(canvas, masks, layers)


def fill_mask(canvas: np.ndarray, mask: np.ndarray, color: tuple[int, int, int], width: int) -> None:
    """Tint a mask and outline it, in place; the outline is lined with white, so that it is seen on its own colour."""
    inside = mask.astype(bool)
    canvas[inside] = np.rint((1 - FILL) * canvas[inside] + FILL * np.array(color)).astype(np.uint8)
    outlines, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(canvas, outlines, -1, (255, 255, 255), width * 3, cv2.LINE_AA)
    cv2.drawContours(canvas, outlines, -1, color, width * 2, cv2.LINE_AA)


def draw_names(canvas: np.ndarray, masks: Sequence[np.ndarray], layers: Sequence[Layer]) -> np.ndarray:
    """Write each mask's name on it, or as near to it as the other names leave room."""
    picture = Image.fromarray(canvas)
    draw = ImageDraw.Draw(picture)
    points = max(12, min(28, round(max(canvas.shape[:2]) / 40)))
    font, pad = load_font(points), max(2, points // 5)
    taken: list[Box] = []
    for mask, layer in zip(masks, layers, strict=True):
        if not layer.name or not mask.any():
            continue
        left, top, right, bottom = draw.textbbox((0, 0), layer.name, font=font)
        size = (int(right - left) + 2 * pad, int(bottom - top) + 2 * pad)
        box = place(size, inner_point(mask), picture.size, taken)
        taken.append(box)
        draw.rounded_rectangle(box, radius=pad, fill=layer.color, outline='white')
        draw.text((box[0] + pad - left, box[1] + pad - top), layer.name, font=font, fill=text_color(layer.color))
    return np.asarray(picture)


def inner_point(mask: np.ndarray) -> tuple[int, int]:
    """x, y of the point of a mask that is farthest from its border."""
    distances = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)
    y, x = np.unravel_index(distances.argmax(), distances.shape)
    return int(x) - 1, int(y) - 1


def place(size: tuple[int, int], anchor: tuple[int, int], canvas: tuple[int, int], taken: Sequence[Box]) -> Box:
    """The box of ``size`` (width, height) nearest to ``anchor`` that lies on the canvas and on no other box.

    Where the canvas is full, the one that covers least of the others.
    """
    boxes = list(dict.fromkeys(candidates(size, anchor, canvas)))
    covered = [sum(overlap(box, other) for other in taken) for box in boxes]
    best = min(covered)
    return next(box for box, area in zip(boxes, covered, strict=True) if area == best)


def candidates(size: tuple[int, int], anchor: tuple[int, int], canvas: tuple[int, int]) -> Iterator[Box]:
    """Boxes on the canvas, the nearest to the anchor first."""
    step_x, step_y = max(size[0] // 4, 1), max(size[1] // 2, 1)
    across, down = canvas[0] // step_x + 1, canvas[1] // step_y + 1
    moves = [(x * step_x, y * step_y) for x in range(-across, across + 1) for y in range(-down, down + 1)]
    for x, y in sorted(moves, key=lambda move: move[0] ** 2 + move[1] ** 2):
        left = min(max(anchor[0] + x - size[0] // 2, 0), max(canvas[0] - size[0] - 1, 0))
        top = min(max(anchor[1] + y - size[1] // 2, 0), max(canvas[1] - size[1] - 1, 0))
        yield left, top, left + size[0], top + size[1]


def overlap(first: Box, second: Box) -> int:
    """Area in pixels that two boxes share."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return max(width, 0) * max(height, 0)


def draw_attention(image: np.ndarray, attention: np.ndarray, smallest: int = SMALLEST) -> np.ndarray:
    """An attention map (h, w) as heat on an image (H, W, 3) uint8 RGB, from its smallest to its largest value."""
    factor = max(1, round(smallest / max(image.shape[:2])))
    size = (image.shape[1] * factor, image.shape[0] * factor)
    heat = cv2.resize(attention.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    heat = (heat - heat.min()) / max(float(np.ptp(heat)), 1e-12)
    colors = matplotlib.colormaps['inferno'](heat)[..., :3] * 255
    picture = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC if factor > 1 else cv2.INTER_NEAREST)
    return np.rint(0.35 * picture + 0.65 * colors).astype(np.uint8)


@cache
def load_font(size: int) -> ImageFont.FreeTypeFont:
    """The font that ships with matplotlib; it has the letters of most alphabets, but no Chinese."""
    return ImageFont.truetype(findfont('DejaVu Sans'), size)
