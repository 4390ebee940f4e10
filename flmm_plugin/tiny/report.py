"""Tables and plots of experiments on scenes, between their marks on a page of the docs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def write_between(page: Path, name: str, content: str) -> None:
    """Put ``content`` between the marks of ``name`` on a page of the docs, in place of what is there.

    Raises:
        ValueError: the page has no such marks.
    """
    begin, end = f'<!-- {name}: begin -->', f'<!-- {name}: end -->'
    text = page.read_text()
    if begin not in text or end not in text:
        raise ValueError(f'{page} has no "{begin}" ... "{end}" to put the results between')
    block = f'{begin}\n\n{content}\n\n{end}'
    page.write_text(re.sub(f'{begin}.*{end}', lambda _: block, text, flags=re.DOTALL))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [head, ['---'] * len(head), *rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def spread(values: Sequence[float] | None) -> str:
    """Mean and standard deviation over seeds; nothing where there are no values."""
    return f'{mean(values):.3f} ± {pstdev(values):.3f}' if values else ''


def plain_axes(figure: Figure, *position: int) -> Any:
    """Axes with a frame on two sides."""
    axes = figure.add_subplot(*position)
    axes.spines[['top', 'right']].set_visible(False)
    return axes


def save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
