"""Sheets of pictures: rows are phrases, columns are what became of them on the way to a mask.

Shape shorthand: P phrases, (H, W) image size, (h, w) attention grid.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from flmm_plugin.visualization.text import drawable, plain_text

COLUMNS = ('image', 'attention', 'coarse', 'refined', 'truth')
PANEL = 2.2  # inches
DPI = 100
LARGEST = 1024  # pixels of the longer side, beyond which a panel of 220 shows no more


@dataclass(frozen=True)
class Row:
    """One phrase of one image: ``image`` (H, W, 3) uint8 RGB, masks (H, W) bool, ``attention`` (h, w); None: blank."""

    image: np.ndarray
    phrase: str
    color: str
    attention: np.ndarray | None = None
    coarse: np.ndarray | None = None
    refined: np.ndarray | None = None
    truth: np.ndarray | None = None


@plain_text()
def draw_sheet(rows: Sequence[Row]) -> np.ndarray:
    """Draw the rows with a heading for each column that has anything in it. Returns (height, width, 3) uint8 RGB."""
    columns = [name for name in COLUMNS if any(getattr(row, name) is not None for row in rows)]
    figure = Figure(figsize=(PANEL * (len(columns) + 0.7), PANEL * len(rows) + 0.3), dpi=DPI, layout='constrained')
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    for row, line in zip(rows, axes, strict=True):
        for name, ax in zip(columns, line, strict=True):
            _draw_panel(ax, row, name)
        label = textwrap.fill(drawable(row.phrase), 18, max_lines=6)
        line[0].set_ylabel(label, rotation=0, ha='right', va='center', fontsize=9, color=row.color)
    for name, ax in zip(columns, axes[0], strict=True):
        ax.set_title(name, fontsize=10)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _draw_panel(ax: Axes, row: Row, name: str) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    content = getattr(row, name)
    if content is None:
        ax.set_axis_off()
        return
    image = shrink(row.image)
    if name == 'image':
        ax.imshow(image)
    elif name == 'attention':
        draw_map(ax, row.image, content)
    else:
        ax.imshow(_faded(image))
        _draw_mask(ax, shrink(content), row.color)
        if name != 'truth' and row.truth is not None:
            ax.set_xlabel(f'IoU {_iou(content, row.truth):.2f}', fontsize=8, labelpad=2)


def draw_map(ax: Axes, image: np.ndarray, attention: np.ndarray) -> None:
    """An attention map (h, w) as heat over its image (H, W, 3)."""
    image = shrink(image)
    height, width = image.shape[:2]
    ax.imshow(image)
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    ax.imshow(attention, cmap='inferno', alpha=0.7, extent=extent, interpolation='bilinear')


def shrink(pixels: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) uint8 or a mask (H, W) bool, made smaller where a panel shows nothing of its size."""
    scale = LARGEST / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    if pixels.dtype == bool:
        return cv2.resize(pixels.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) > 127
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def _faded(image: np.ndarray) -> np.ndarray:
    """A pale grey copy, on which the mask is the only colour."""
    grey = image.mean(axis=2, keepdims=True) * 0.5 + 127
    return grey.astype(np.uint8).repeat(3, axis=2)


def _draw_mask(ax: Axes, mask: np.ndarray, color: str) -> None:
    overlay = np.zeros((*mask.shape, 4))
    overlay[mask] = (*to_rgb(color), 0.6)
    ax.imshow(overlay, interpolation='nearest')
    if mask.any() and not mask.all():
        ax.contour(mask, levels=[0.5], colors=[color], linewidths=1.2)


def _iou(predicted: np.ndarray, truth: np.ndarray) -> float:
    return float((predicted & truth).sum() / max((predicted | truth).sum(), 1))
