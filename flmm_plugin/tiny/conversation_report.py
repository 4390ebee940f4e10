"""Table and plot of what pointing costs an LMM's conversation: frozen, and trained to point by a [SEG] token."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import mean, pstdev

from matplotlib.figure import Figure

from flmm_plugin.tiny.report import plain_axes, save, spread, table, write_between

#: One number for each seed, by the name of the figure.
Figures = Mapping[str, list[float]]
#: results[model, training steps]; the bare LMM's, without masks, is that of 0 steps.
Results = Mapping[tuple[str, int], Figures]

COLUMNS = {
    'expressions': 'expressions, mIoU',
    'things': 'things, mIoU',
    'words/all': 'captions, next word',
    'answers/caption': 'captions, whole',
    'questions': 'answers, whole',
    'pope': 'POPE, accuracy',
    'pope/mean/lmms_eval/accuracy': 'POPE, strict',
    'yes_ratio': 'POPE, yes ratio',
}
#: Kinds of questions; that of existence by what is right.
QUESTIONS = ('exists: yes', 'exists: no', 'above', 'place', 'count', 'color', 'shape', 'stuff')


def write_tables(results: Results, page: Path) -> None:
    """The comparison, whole answers by kind of question, and a link to the plot."""
    names = ['model', 'steps']
    compared = [[*_name(*key), *(spread(found.get(name)) for name in COLUMNS)] for key, found in results.items()]
    by_kind = [
        [*_name(*key), *(spread(found.get(f'answers/{kind}')) for kind in QUESTIONS)] for key, found in results.items()
    ]
    parts = [
        table([*names, *COLUMNS.values()], compared),
        'Whole answers by kind of question ("Is there a ...?" by what is right):',
        table([*names, *QUESTIONS], by_kind),
        '![Masks against answers](images/conversation.png)',
    ]
    write_between(page, 'conversation', '\n\n'.join(parts))


def _name(model: str, steps: int) -> tuple[str, str]:
    return model, f'{steps:,}' if steps else ''


def plot_tradeoff(results: Results, path: Path) -> None:
    """What is said over how well masks fit, a line from the bare LMM on for each model; whiskers: spread over seeds."""
    figure = Figure(figsize=(9, 3.8), layout='constrained')
    bare = next(found for (_, steps), found in results.items() if not steps)
    models = list(dict.fromkeys(model for model, steps in results if steps))
    panels = {'words/all': 'next word of captions', 'questions': 'whole answers to questions'}
    for number, (name, title) in enumerate(panels.items(), 1):
        axes = plain_axes(figure, 1, 2, number)
        axes.axhline(mean(bare[name]), color='0.6', linestyle=':', label='bare LMM')
        for model in models:
            found = {steps: figures for (own, steps), figures in results.items() if own == model}
            masks, said = [one['expressions'] for one in found.values()], [one[name] for one in found.values()]
            (line, _, _) = axes.errorbar(
                [mean(values) for values in masks],
                [mean(values) for values in said],
                yerr=[pstdev(values) for values in said],
                xerr=[pstdev(values) for values in masks],
                marker='o',
                capsize=3,
                label=model,
            )
            for place, (steps, x, y) in enumerate(zip(found, masks, said, strict=True)):
                apart = (4, -14 if place else 5)  # the longer runs below, for they may end where the first did
                axes.annotate(
                    f'{steps:,}', (mean(x), mean(y)), apart, textcoords='offset points', color=line.get_color()
                )
        axes.set_xlabel('mean IoU of expressions, held out')
        axes.set_ylabel(f'{title}, held out')
        axes.set_ylim(0, 1.05)
        axes.set_xlim(0, 1)
    figure.axes[0].legend(frameon=False)
    save(figure, path)
