"""A day in minutes, and the table of what the process held on the way."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from flmm_plugin.apis import FLMMInferencer
from flmm_plugin.datasets.scenes.writer import write_scenes
from flmm_plugin.engine.config import load_config
from flmm_plugin.soak.counts import Counts, own_temporary_files
from flmm_plugin.soak.work import Chatter, Trainer, Visitors, own_answers, visited

ROWS = 10
#: What may be more at the end than after a third. Pools of threads fill up by chance.
ALLOWED = dict(descriptors=8.0, threads=8.0, memory=2.0, files=0.0)
PARTS = ('chats', 'requests', 'steps')
Part = Chatter | Visitors | Trainer
Work = Mapping[str, Part]


@dataclass(frozen=True)
class Row:
    """``seconds`` since the beginning, how often each work was ``done``, and what the process holds."""

    seconds: float
    done: dict[str, int]
    counts: Counts


def soak(
    inferencer: FLMMInferencer,
    training: str,
    seconds: float,
    report: Callable[[Row], None],
    *,
    requests: int | None = None,
    parts: Sequence[str] = PARTS,
) -> list[Row]:
    """Chat, visit the page and train in turns for so many ``seconds``.

    What the page keeps for an hour it keeps for a sixth of the time, and of a sixth of the visitors. The last row is
    taken when the page is closed.

    Args:
        training: config file of what is trained, on scenes that are drawn here.
        report: called with each row.
        requests: end when the page has had so many, if that is earlier.
        parts: what is done of :data:`PARTS`.

    Raises:
        WrongAnswerError: a visitor got another picture's answer.
    """
    rows: list[Row] = []

    def note(work: Work) -> None:
        gc.collect()
        rows.append(Row(time.monotonic() - start, {name: one.done for name, one in work.items()}, Counts.now()))
        report(rows[-1])

    def share(visitors: Visitors) -> float:
        passed = (time.monotonic() - start) / seconds
        return passed if requests is None else max(passed, visitors.done / requests)

    with own_temporary_files() as folder:
        write_scenes(folder / 'scenes', 20)
        answers = own_answers(inferencer, sorted((folder / 'scenes/images').iterdir()))
        with visited(inferencer, answers, max(int(seconds / 6), 1)) as visitors:
            every: dict[str, Callable[[], Part]] = dict(
                chats=lambda: Chatter(inferencer, answers),
                requests=lambda: visitors,
                steps=lambda: Trainer(load_config(training, {'data_root': f'{folder}/scenes/'})),
            )
            work: Work = {name: make() for name, make in every.items() if name in parts}
            start = time.monotonic()
            while (done := share(visitors)) < 1:
                if done >= len(rows) / ROWS:
                    note(work)
                for one in work.values():
                    one()
            note(work)
        note(work)
    return rows


def grown(rows: list[Row]) -> dict[str, float]:
    """What there is more of when the page is closed than after a third of the time, as far as it is not allowed."""
    early = rows[max(len(rows) // 3, 1)].counts.growth_to(rows[-1].counts)
    return {name: value for name, value in early.items() if value > ALLOWED[name]}


def line(row: Row) -> str:
    """A row as text."""
    held = row.counts
    done = ' '.join(f'{name} {count:>5}' for name, count in row.done.items())
    return (
        f'{row.seconds:>6.0f} s  {done}  descriptors {held.descriptors:>4}  threads {held.threads:>4}  '
        f'memory {held.memory / 2**20:>6.0f} MiB  temporary files {held.files:>5}'
    )
