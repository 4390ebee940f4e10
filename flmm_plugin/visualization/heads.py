"""Sheets of attention heads: rows are phrases, columns what each head looks at when the LMM reads them.

Shape shorthand: P phrases of one image, K heads, (h, w) attention grid.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from flmm_plugin.visualization.sheet import DPI, PANEL, draw_map, shrink
from flmm_plugin.visualization.text import drawable, plain_text

PHRASES = 2  # of each image


@plain_text()
def draw_heads(examples: Sequence[tuple[np.ndarray, Sequence[str], np.ndarray]], names: Sequence[str]) -> np.ndarray:
    """Draw the first phrases of each example: the image and every head's map on it.

    Args:
        examples: images (H, W, 3) uint8 RGB, their phrases, and maps (P, K, h, w).
        names: of the K heads.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    rows = [
        (image, phrase, own)
        for image, phrases, maps in examples
        for phrase, own in zip(phrases[:PHRASES], maps[:PHRASES], strict=True)
    ]
    figure = Figure(figsize=(PANEL * (len(names) + 1.7), PANEL * len(rows) + 0.3), dpi=DPI, layout='constrained')
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), len(names) + 1, squeeze=False)
    for (image, phrase, maps), line in zip(rows, axes, strict=True):
        line[0].imshow(shrink(image))
        line[0].set_ylabel(textwrap.fill(drawable(phrase), 18, max_lines=6), rotation=0, ha='right', va='center')
        for ax, one in zip(line[1:], maps, strict=True):
            draw_map(ax, image, one)
    for ax in axes.flat:
        ax.set_xticks([])
        ax.set_yticks([])
    for name, ax in zip(('image', *names), axes[0], strict=True):
        ax.set_title(name, fontsize=10)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
