"""One picture with its masks: filled, outlined, named, no name over another.

Shape shorthand: (H, W) image size, (h, w) attention grid.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw

from flmm_plugin.visualization.colors import rgb, text_color
from flmm_plugin.visualization.names import Box, inner_point, place
from flmm_plugin.visualization.text import drawable, font_for

SMALLEST = 640  # pixels of the longer side below which a picture is enlarged, so that names can be read on it
FILL = 0.35
TILE = 384  # pixels of the squares that outlines are drawn in


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
    for index in sorted(range(len(layers)), key=lambda i: -cv2.countNonZero(masks[i])):
        fill_mask(canvas, masks[index], rgb(layers[index].color), width)
    return draw_names(canvas, masks, layers)


def fill_mask(canvas: np.ndarray, mask: np.ndarray, color: tuple[int, int, int], width: int) -> None:
    """Tint a mask and outline it, in place; the outline is lined with white, so that it is seen on its own colour.

    Only the mask's box is looked at, so that large pictures take no longer than their masks do.
    """
    left, top, across, down = cv2.boundingRect(mask)
    if not across:
        return
    own = np.ascontiguousarray(mask[top : top + down, left : left + across])
    inside = canvas[top : top + down, left : left + across]
    tints = np.rint((1 - FILL) * np.arange(256)[:, None] + FILL * np.array(color)).astype(np.uint8)
    cv2.copyTo(cv2.LUT(inside, tints[None]), own, inside)
    outlines, _ = cv2.findContours(own, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    bands = {math.ceil(1.5 * width) + 1: (255, 255, 255), width + 1: color}
    for distances, (x, y) in near_outlines(outlines, (down, across), 2 * width + 3):
        draw_bands(canvas, distances, (left + x, top + y), bands)


def near_outlines(
    outlines: Sequence[np.ndarray], size: tuple[int, int], margin: int
) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
    """Distances to the outlines, each (N, 1, 2), x and y, of a mask (h, w), right up to ``margin`` pixels.

    Tile by tile, fp32, with (x, y) of its upper left, which may be negative; tiles far from all outlines are left out.
    """
    points = np.concatenate(outlines)[:, 0] + margin
    edge = np.zeros((size[0] + 2 * margin, size[1] + 2 * margin), np.uint8)
    edge[points[:, 1], points[:, 0]] = 1
    near = np.zeros((edge.shape[0] // TILE + 1, edge.shape[1] // TILE + 1), bool)
    for across, down in itertools.product((-margin, 0, margin), repeat=2):
        near[(points[:, 1] + down) // TILE, (points[:, 0] + across) // TILE] = True
    for row, column in np.argwhere(near).tolist():
        x, y = column * TILE, row * TILE
        x0, y0 = max(x - margin, 0), max(y - margin, 0)
        around = 1 - edge[y0 : y + TILE + margin, x0 : x + TILE + margin]
        distances = cv2.distanceTransform(around, cv2.DIST_L2, cv2.DIST_MASK_5)
        own = distances[y - y0 : y - y0 + TILE, x - x0 : x - x0 + TILE]
        yield own, (x - margin, y - margin)


def draw_bands(
    canvas: np.ndarray, distances: np.ndarray, at: tuple[int, int], bands: Mapping[int, tuple[int, int, int]]
) -> None:
    """Paint what is nearer than a reach in pixels in its colour, smooth at its edge, in place; the widest band first.

    ``distances``: (h, w) fp32, the upper left of which lies at ``at`` (x, y), maybe beyond the canvas.
    """
    x0, y0 = max(-at[0], 0), max(-at[1], 0)
    x1, y1 = min(distances.shape[1], canvas.shape[1] - at[0]), min(distances.shape[0], canvas.shape[0] - at[1])
    if x0 >= x1 or y0 >= y1:
        return
    near = distances[y0:y1, x0:x1]
    part = canvas[y0 + at[1] : y1 + at[1], x0 + at[0] : x1 + at[0]]
    found = cv2.findNonZero((near < max(bands) + 0.5).view(np.uint8))  # much faster than numpy's
    if found is None:
        return
    columns, rows = found[:, 0].T
    for reach, color in bands.items():
        cover = reach + 0.5 - near[rows, columns]
        rows, columns, cover = rows[cover > 0], columns[cover > 0], cover[cover > 0]
        cover = np.minimum(cover, 1)[:, None]
        part[rows, columns] = np.rint((1 - cover) * part[rows, columns] + cover * np.array(color, np.float32))


def draw_names(canvas: np.ndarray, masks: Sequence[np.ndarray], layers: Sequence[Layer]) -> np.ndarray:
    """Write each mask's name on it, or as near to it as the other names leave room."""
    picture = Image.fromarray(canvas)
    draw = ImageDraw.Draw(picture)
    points = max(12, min(28, round(max(canvas.shape[:2]) / 40)))
    pad = max(2, points // 5)
    taken: list[Box] = []
    for mask, layer in zip(masks, layers, strict=True):
        if not layer.name or not mask.any():
            continue
        name = drawable(layer.name)
        font = font_for(name, points)
        left, top, right, bottom = draw.textbbox((0, 0), name, font=font)
        size = (int(right - left) + 2 * pad, int(bottom - top) + 2 * pad)
        box = place(size, inner_point(mask), picture.size, taken)
        taken.append(box)
        draw.rounded_rectangle(box, radius=pad, fill=layer.color, outline='white')
        draw.text((box[0] + pad - left, box[1] + pad - top), name, font=font, fill=text_color(layer.color))
    return np.asarray(picture)


def draw_attention(image: np.ndarray, attention: np.ndarray, smallest: int = SMALLEST) -> np.ndarray:
    """An attention map (h, w) as heat on an image (H, W, 3) uint8 RGB, from its smallest to its largest value."""
    factor = max(1, round(smallest / max(image.shape[:2])))
    size = (image.shape[1] * factor, image.shape[0] * factor)
    heat = cv2.resize(attention.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    heat = (heat - heat.min()) / max(float(np.ptp(heat)), 1e-12)
    colors = matplotlib.colormaps['inferno'](heat)[..., :3] * 255
    picture = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC if factor > 1 else cv2.INTER_NEAREST)
    return np.rint(0.35 * picture + 0.65 * colors).astype(np.uint8)
