"""Cost against the length of the sequence, as a picture."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

WAYS = {'bare': 'bare', 'ours': 'ours: attention of the phrases', 'eager': 'eager: attention returned whole'}


def drawable(name: str) -> Path:
    """The path of a picture, for argparse: what cannot be drawn is refused before anything is measured."""
    path, known = Path(name), FigureCanvasAgg.filetypes
    if path.suffix[1:] not in known:
        raise argparse.ArgumentTypeError(f'{name} must end in one of {", ".join(f".{ending}" for ending in known)}')
    return path


def plot_costs(result: Mapping[str, Any], path: Path) -> None:
    """Write :func:`draw_costs` to ``path``, whose folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draw_costs(result).savefig(path, dpi=120)


def draw_costs(result: Mapping[str, Any]) -> Figure:
    """Seconds and peak GB of the result of :func:`extract` against its tokens, a line a way."""
    figure = Figure(figsize=(9, 4), layout='constrained')
    FigureCanvasAgg(figure)
    rows = sorted(result['extract'], key=lambda row: row['tokens'])
    where = 'resident set of the process' if result['device'] == 'cpu' else 'tensors on the GPU'
    panels = {'seconds': ('time of a forward pass', 's', 1.0), 'peak_bytes': (f'peak memory: {where}', 'GB', 1e9)}
    for axes, (field, (title, label, unit)) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        for way, name in WAYS.items():
            axes.plot([row['tokens'] for row in rows], [row[field][way] / unit for row in rows], marker='o', label=name)
        axes.set_title(title, size='medium')
        axes.set_xlabel('tokens, image included')
        axes.set_ylabel(label)
        axes.set_ylim(0, 1.05 * axes.dataLim.y1)
        axes.spines[['top', 'right']].set_visible(False)
    figure.axes[0].legend(frameon=False)
    name = result['preset'] if 'preset' in result else Path(result['config']).stem
    figure.suptitle(f'{name}, {result["dtype"]}, {result["phrases"]} phrases; {result["machine"]}')
    return figure
