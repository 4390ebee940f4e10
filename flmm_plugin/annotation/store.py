"""Lines that survive whatever happens to the process: JSON, a line a picture, a file (shard) for each rank.

A line is whole or it is not there: what a killed process left of its last line is cut off at the next start. Another
model or other questions in the same folder are refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from flmm_plugin.annotation.lines import read_lines
from flmm_plugin.datasets.records import Record
from flmm_plugin.errors import UserError
from flmm_plugin.plain_json import parse_json, to_json, write_json

SETTINGS = 'settings.json'
SHARD = 'shard-{:05d}.jsonl'


class Store:
    """The folder of a run.

    Args:
        folder: made if it does not exist.
        settings: what decides the results; kept in the folder, and compared when a run goes on there.
        rank: which shard this process writes.

    Raises:
        UserError: the folder holds results of other settings; the message names those that differ.
    """

    def __init__(self, folder: str | Path, settings: dict[str, Any], rank: int = 0) -> None:
        self.folder, self.rank = Path(folder), rank
        self.folder.mkdir(parents=True, exist_ok=True)
        self._check(json.loads(to_json(settings)))
        self.shard = self.folder / SHARD.format(rank)
        _cut_off_rest(self.shard)
        self._file: Any = None

    def __enter__(self) -> Store:
        self._file = self.shard.open('ab', buffering=0)
        return self

    def __exit__(self, *_: Any) -> None:
        self._file.close()

    def write(self, records: Iterable[dict[str, Any]]) -> None:
        """Append a line a record, all of them or, where the disk is full, none.

        Raises:
            UserError: nothing more can be written.
        """
        lines = ''.join(to_json(record, ensure_ascii=False) + '\n' for record in records).encode()
        before = self._file.seek(0, os.SEEK_END)
        try:
            written = 0
            while written < len(lines):
                written += self._file.write(lines[written:])
        except OSError as error:
            self._file.truncate(before)
            raise UserError(
                f'{self.shard} cannot be written: {error.strerror}. What was annotated is whole; run the same command '
                'again once there is room'
            ) from error

    def located(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """What all ranks wrote, with the name of its file."""
        for shard in sorted(self.folder.glob('shard-*.jsonl')):
            for record in read_lines(shard):
                yield shard.name, record

    def records(self) -> Iterator[dict[str, Any]]:
        """What all ranks wrote."""
        return (record for _, record in self.located())

    def done(self) -> set[str]:
        """The names of the pictures that have their line."""
        return {record['file_name'] for record in self.records()}

    @staticmethod
    def settings(folder: Path) -> dict[str, Any]:
        """Those of the run in a folder; empty where there is none yet."""
        path = folder / SETTINGS
        if not path.exists():
            return {}
        content = parse_json(path.read_bytes(), str(path), remedy='choose another folder')
        return dict(Record.of(content, str(path)).content)

    def _check(self, settings: dict[str, Any]) -> None:
        path = self.folder / SETTINGS
        kept = self.settings(self.folder)
        if not kept:
            write_json(path, settings, indent=2)
            return
        differing = sorted(name for name in {*kept, *settings} if kept.get(name) != settings.get(name))
        if differing:
            about = '; '.join(f'{name}: {kept.get(name)!r} there, {settings.get(name)!r} now' for name in differing)
            raise UserError(f'{self.folder} holds results of another run ({about}): choose another folder')


def _cut_off_rest(shard: Path) -> None:
    """Remove what a killed process left of its last line."""
    if not shard.exists():
        return
    with shard.open('r+b') as file:
        end = file.seek(0, os.SEEK_END)
        kept = end
        while kept:
            start = max(0, kept - 2**16)
            file.seek(start)
            found = file.read(kept - start).rfind(b'\n')
            if found >= 0:
                kept = start + found + 1
                break
            kept = start
        if kept < end:
            file.truncate(kept)
