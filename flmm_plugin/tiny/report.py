"""The ablation's table and plot."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import mean, pstdev

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

BEGIN, END = '<!-- ablation: begin -->', '<!-- ablation: end -->'
COLUMNS = {'mIoU_thing': 'things, mIoU', 'mIoU_stuff': 'stuff, mIoU', 'AR_all': 'all, average recall'}

#: results[lmm][stage][metric]: one number for each seed
Results = dict[str, dict[str, dict[str, list[float]]]]


def markdown_table(results: Results) -> str:
    """A row for each LMM and stage: mean and spread (standard deviation) over seeds."""
    lines = ['| LMM | stage | ' + ' | '.join(COLUMNS.values()) + ' |', '|---|---|' + '---|' * len(COLUMNS)]
    for lmm, stages in results.items():
        for stage, metrics in stages.items():
            cells = [
                f'{mean(metrics[key]):.3f} ± {pstdev(metrics[key]):.3f}' if key in metrics else '' for key in COLUMNS
            ]
            lines.append(f'| {lmm} | {stage} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def write_table(results: Results, page: Path) -> None:
    """Put the table and a link to the plot between their two marks on a page of the docs."""
    text = page.read_text()
    if BEGIN not in text or END not in text:
        raise ValueError(f'{page} has no "{BEGIN}" ... "{END}" to put the table between')
    picture = '![Mean IoU of things by stage](images/ablation.png)'
    block = f'{BEGIN}\n\n{markdown_table(results)}\n\n{picture}\n\n{END}'
    page.write_text(re.sub(f'{BEGIN}.*{END}', lambda _: block, text, flags=re.DOTALL))


def plot_ablation(results: Results, path: Path) -> None:
    """Bars of the things' IoU: stages along the axis, one colour for each LMM, spread over seeds as whiskers."""
    figure = Figure(figsize=(9, 3.6), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    width = 0.8 / len(results)
    stages = list(next(iter(results.values())))
    for number, (lmm, found) in enumerate(results.items()):
        values = [found[stage]['mIoU_thing'] for stage in found]
        places = [stages.index(stage) + (number - (len(results) - 1) / 2) * width for stage in found]
        axes.bar(places, [mean(v) for v in values], width, yerr=[pstdev(v) for v in values], capsize=3, label=lmm)
    axes.set_xticks(range(len(stages)), [stage.replace(', ', ',\n') for stage in stages])
    axes.set_ylabel('mean IoU of things, held out')
    axes.set_ylim(0, 1)
    axes.legend(title='LMM', frameon=False)
    axes.spines[['top', 'right']].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
