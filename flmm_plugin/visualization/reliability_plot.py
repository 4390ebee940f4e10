"""What probabilities are worth: how often a thing was there, by how likely it was said to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from flmm_plugin.visualization.text import plain_text

Rows = Sequence[Mapping[str, float]]


@plain_text()
def plot_reliability(rules: Mapping[str, tuple[Rows, Rows]], path: Path) -> None:
    """On the left the share that was there in each bin of probability, its size by its count, beside the diagonal of
    perfect probabilities; on the right precision and recall above each limit.

    Args:
        rules: of each rule by name its ``reliability`` and ``points``, see :class:`PresenceRule`.
        path: the picture's.
    """
    figure = Figure(figsize=(9, 3.8), layout='constrained')
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], color='0.8', linewidth=1)
    for number, (name, (bins, points)) in enumerate(rules.items()):
        color, most = f'C{number}', max(row['count'] for row in bins)
        predicted, observed = ([row[field] for row in bins] for field in ('predicted', 'observed'))
        # No lines: bins of one or two phrases would draw the eye.
        left.scatter(predicted, observed, [4 + 156 * row['count'] / most for row in bins], color=color, alpha=0.7)
        left.scatter([], [], color=color, label=name)
        limits = [row['limit'] for row in points]
        right.plot(limits, [row['precision'] for row in points], color=color, label=f'{name}: precision')
        right.plot(limits, [row['recall'] for row in points], color=color, linestyle=':', label=f'{name}: recall')
    left.set(xlabel='presence', ylabel='share that was there', xlim=(0, 1), ylim=(0, 1.02))
    right.set(xlabel='min_presence', xlim=(0, 1), ylim=(0, 1.02))
    for axes in (left, right):
        axes.legend(fontsize=8, frameon=False)
        axes.spines[['top', 'right']].set_visible(False)
    figure.savefig(path, dpi=120)
