"""The ablation's table and plot."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, pstdev
from textwrap import fill

from matplotlib.figure import Figure

from flmm_plugin.tiny.report import plain_axes, save, spread, table, write_between

COLUMNS = {'mIoU_thing': 'things, mIoU', 'mIoU_stuff': 'stuff, mIoU', 'AR_all': 'all, average recall'}

#: results[lmm][stage][metric]: one number for each seed
Results = dict[str, dict[str, dict[str, list[float]]]]


def write_table(results: Results, page: Path) -> None:
    """A row for each LMM and stage, and a link to the plot."""
    rows = [
        [lmm, stage, *(spread(metrics.get(key)) for key in COLUMNS)]
        for lmm, stages in results.items()
        for stage, metrics in stages.items()
    ]
    picture = '![Mean IoU of things by stage](images/ablation.png)'
    write_between(page, 'ablation', f'{table(["LMM", "stage", *COLUMNS.values()], rows)}\n\n{picture}')


def plot_ablation(results: Results, path: Path) -> None:
    """Bars of the things' IoU: stages along the axis, one colour for each LMM, spread over seeds as whiskers."""
    figure = Figure(figsize=(9, 3.6), layout='constrained')
    axes = plain_axes(figure)
    width = 0.8 / len(results)
    stages = list(next(iter(results.values())))
    for number, (lmm, found) in enumerate(results.items()):
        values = [found[stage]['mIoU_thing'] for stage in found]
        places = [stages.index(stage) + (number - (len(results) - 1) / 2) * width for stage in found]
        axes.bar(places, [mean(v) for v in values], width, yerr=[pstdev(v) for v in values], capsize=3, label=lmm)
    axes.set_xticks(range(len(stages)), [fill(stage, 14) for stage in stages])
    axes.set_ylabel('mean IoU of things, held out')
    axes.set_ylim(0, 1)
    axes.legend(title='LMM', frameon=False)
    save(figure, path)
