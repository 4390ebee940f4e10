"""Lines that are whole or not there."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from flmm_plugin.annotation.store import Store
from flmm_plugin.errors import DataError, UserError

SETTINGS = dict(model='a', question='What?')


def lines(folder: Path, *names: str, rank: int = 0) -> Store:
    store = Store(folder, SETTINGS, rank)
    with store:
        store.write(dict(file_name=name, error='ä' * 40) for name in names)
    return store


def test_what_is_written_is_read(tmp_path: Path) -> None:
    lines(tmp_path, 'a', 'b')
    store = lines(tmp_path, 'c')
    lines(tmp_path, 'd', rank=3)
    assert [record['file_name'] for record in store.records()] == ['a', 'b', 'c', 'd']
    assert store.done() == set('abcd')


@pytest.mark.parametrize('left', range(1, 90, 11))
def test_the_rest_of_a_line_is_cut_off(tmp_path: Path, left: int) -> None:
    shard = lines(tmp_path, 'a', 'b').shard
    content = shard.read_bytes()
    whole = content.index(b'\n') + 1
    shard.write_bytes(content[: whole + left])
    assert Store(tmp_path, SETTINGS, rank=1).done() == {'a'}  # another rank must not touch it
    assert shard.stat().st_size == whole + left
    assert lines(tmp_path, 'b').done() == {'a', 'b'} and shard.read_bytes() == content


def test_a_line_that_never_ended_is_cut_off_too(tmp_path: Path) -> None:
    shard = lines(tmp_path).shard
    shard.write_bytes(b'x' * 200_000)
    assert lines(tmp_path, 'a').done() == {'a'}


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    lines(tmp_path, 'a')
    with pytest.raises(UserError, match=r"question: 'What\?' there, 'Why\?' now"):
        Store(tmp_path, {**SETTINGS, 'question': 'Why?'})


def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    class Full:
        """A file on a disk that has room for ten bytes more."""

        def __init__(self, file: Any) -> None:
            self.file, self.room = file, 10

        def write(self, content: bytes) -> int:
            if not self.room:
                raise OSError(errno.ENOSPC, 'No space left on device')
            self.room -= (written := self.file.write(content[: self.room]))
            return written

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    store = lines(tmp_path, 'a')
    with store:
        store._file = Full(store._file)
        with pytest.raises(UserError, match=r'No space left.*run the same command'):
            store.write([dict(file_name='b')])
    assert store.done() == {'a'} and store.shard.read_bytes().endswith(b'\n')


def test_a_line_that_somebody_broke_is_named(tmp_path: Path) -> None:
    store = lines(tmp_path, 'a', 'b')
    store.shard.write_bytes(store.shard.read_bytes().replace(b'{', b'[', 1))
    with pytest.raises(DataError, match='line 1 is not JSON'):
        store.done()
