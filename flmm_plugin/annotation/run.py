"""A run over many pictures that may be killed and begun again, by one process or several that share the pictures."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flmm_plugin.annotation.store import Store
from flmm_plugin.apis.annotated import Picture, annotate
from flmm_plugin.apis.inferencer import FLMMInferencer
from flmm_plugin.datasets.sources import Source

Progress = Callable[[int], None]


class Claims:
    """Which process takes which batch: the first one to make a file of its number. Processes need not be equally fast.

    The files are of one run; a batch whose process died is taken up by the next.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def clear(self) -> None:
        """To be called by one process before the others begin, and at the end."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def __call__(self, batch: int) -> bool:
        folder = self.folder / f'{batch // 1000:06d}'
        folder.mkdir(parents=True, exist_ok=True)
        try:
            os.close(os.open(folder / str(batch), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True


def run(
    ask: FLMMInferencer,
    sources: Sequence[Source],
    to_picture: Callable[[Source], Picture],
    store: Store,
    *,
    batch_size: int,
    generation: dict[str, Any],
    claim: Callable[[int], bool] = lambda batch: True,
    progress: Progress = lambda count: None,
) -> None:
    """Annotate what has no line yet.

    Pictures always come in the same batches: of one that is half done all are read again, and those that lack a line
    get it. So a run that was killed ends with the lines of one that was not.

    Args:
        claim: is this batch ours? Asked before it is begun, by all processes that share the run.
        progress: called with the number of pictures that were done since the last time.
    """
    done = store.done()
    extra = {source.name: dict(source.extra) for source in sources}

    def open_batches() -> Iterator[list[Picture]]:
        for index, start in enumerate(range(0, len(sources), batch_size)):
            batch = sources[start : start + batch_size]
            if any(source.name not in done for source in batch) and claim(index):
                yield [to_picture(source) for source in batch]

    with store:
        for results in annotate(ask.grounder, open_batches(), max_pixels=ask.max_pixels, generation=generation):
            records = [{**one.to_dict(), **extra[one.name]} for one in results if one.name not in done]
            store.write(records)
            progress(len(records))


@dataclass
class Summary:
    """What is in a folder of lines: counts, the errors by picture, and how many lines each file has."""

    pictures: int = 0
    phrases: int = 0
    grounded: int = 0
    errors: dict[str, str] = field(default_factory=dict)
    shards: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, store: Store) -> Summary:
        found = cls()
        for shard, record in store.located():
            found.pictures += 1
            found.shards[shard] = found.shards.get(shard, 0) + 1
            if 'error' in record:
                found.errors[record['file_name']] = record['error']
                continue
            found.phrases += len(record['phrases'])
            found.grounded += sum(phrase['grounded'] for phrase in record['phrases'])
        return found

    def __str__(self) -> str:
        share = self.grounded / self.phrases if self.phrases else 0.0
        return (
            f'{self.pictures} pictures, {len(self.errors)} of them with an error; {self.phrases} phrases, '
            f'{share:.0%} of them grounded'
        )
