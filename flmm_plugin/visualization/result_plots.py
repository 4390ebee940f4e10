"""Where a model is good and where it fails: IoU by size and length, and the worst cases as pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from flmm_plugin.evaluation.bootstrap import estimates
from flmm_plugin.images import read_rgb
from flmm_plugin.rle import decode_mask
from flmm_plugin.visualization.colors import phrase_color
from flmm_plugin.visualization.sheet import Row, draw_sheet
from flmm_plugin.visualization.text import drawable, plain_text

Record = Mapping[str, Any]
SIZES = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.01)
LENGTHS = (1, 2, 3, 4, 5, 7, 10, 10**6)


def size_of_mask(record: Record) -> float:
    """The true mask's share of the picture."""
    return record['area'] / (record['size'][0] * record['size'][1])


def length_of_phrase(record: Record) -> float:
    """Number of words."""
    return len(record['phrase'].split())


@plain_text()
def plot_by(
    runs: Mapping[str, Sequence[Record]],
    measure: Callable[[Record], float],
    edges: Sequence[float],
    labels: Sequence[str],
    title: str,
    path: Path,
) -> None:
    """Mean IoU with 95 % intervals of the phrases in each bin ``edges[i] <= measure < edges[i + 1]``, a line a run."""
    figure = Figure(figsize=(7, 3.6), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    counts: dict[int, int] = {}
    for number, (name, records) in enumerate(runs.items()):
        places, found = [], []
        bins = np.digitize([measure(record) for record in records], edges) - 1
        for place in range(len(labels)):
            chosen = [record for record, where in zip(records, bins, strict=True) if where == place]
            if chosen:
                counts[place] = len(chosen)
                places.append(place)
                found.append(estimates(chosen, resamples=500)['mIoU'])
        values = np.array([one.value for one in found])
        spread = np.abs(np.array([[one.low, one.high] for one in found]).T - values)
        axes.errorbar(
            np.array(places) + 0.06 * number, values, yerr=spread, marker='o', capsize=3, label=drawable(name)
        )
    axes.set_xticks(range(len(labels)), [f'{label}\n({counts.get(i, 0)})' for i, label in enumerate(labels)])
    axes.set_ylim(0, 1)
    axes.set_ylabel('mean IoU')
    axes.set_xlabel(f'{title} (number of phrases)')
    axes.legend(frameon=False)
    axes.spines[['top', 'right']].set_visible(False)
    figure.savefig(path, dpi=120)


def plot_by_size(runs: Mapping[str, Sequence[Record]], path: Path) -> None:
    labels = [f'< {100 * high:g} %' for high in SIZES[1:-1]] + [f'≥ {100 * SIZES[-2]:g} %']
    plot_by(runs, size_of_mask, SIZES, labels, "true mask's share of the picture", path)


def plot_by_length(runs: Mapping[str, Sequence[Record]], path: Path) -> None:
    labels = ['1', '2', '3', '4', '5-6', '7-9', '10+']
    plot_by(runs, length_of_phrase, LENGTHS, labels, 'words of the phrase', path)


def draw_worst(records: Sequence[Record], number: int, path: Path) -> list[Record]:
    """A sheet of the ``number`` phrases with the lowest IoU, larger ones first among equals; returns them."""
    worst = sorted(records, key=lambda record: (record['iou'], -record['area']))[:number]
    rows = []
    for index, record in enumerate(worst):
        rows.append(
            Row(
                image=read_rgb(record['img_path'], record['size']),
                phrase=f'{record["phrase"]}\n[{record["sample_id"]}]',
                color=phrase_color(index),
                refined=decode_mask(dict(size=record['size'], counts=record['predicted'])),
                truth=decode_mask(dict(size=record['size'], counts=record['truth'])),
            )
        )
    Image.fromarray(draw_sheet(rows)).save(path)
    return worst
