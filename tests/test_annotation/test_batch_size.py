"""As many pictures at a time as there is room for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from flmm_plugin.annotation.batch_size import Room, double
from flmm_plugin.errors import UserError
from flmm_plugin.memory import available, resident
from tests.test_annotation.conftest import Done

MIB = 2**20


@pytest.mark.parametrize('room, size', [(40, 1), (150, 4), (320, 8), (10_000, 16)])
def test_sizes_double_while_twice_the_last_would_fit(room: int, size: int) -> None:
    """Each takes 32 MiB. So 4 fit into 150 MiB (twice 64 do), 8 would take 256."""

    def attempt(count: int) -> bool:
        torch.ones(count * 32 * MIB // 4)
        return True

    assert double(attempt, Room.of('cpu', room * MIB), most=16) == size


@pytest.mark.parametrize('error', [torch.OutOfMemoryError('full'), UserError('a picture that cannot be answered')])
def test_a_size_that_fails_is_halved(error: Exception) -> None:
    def attempt(count: int) -> bool:
        if count > 3:
            raise error
        return True

    assert double(attempt, Room.of('cpu')) == 2


def test_what_is_free_is_known() -> None:
    assert MIB < Room.of('cpu').size < available() < 2**46
    before = available()
    block = torch.ones(256 * MIB // 4)
    assert resident('VmRSS') > block.numel() * 4 and available() < before + 128 * MIB


def test_a_run_finds_its_size_and_keeps_it(pictures: Path, tmp_path: Path, tool: Callable[..., Done]) -> None:
    (tmp_path / 'odd.png').write_text('no picture')
    (tmp_path / 'list.txt').write_text('\n'.join(['odd.png', *(str(pictures / f'0{index}.png') for index in range(3))]))
    for out, room, size in (('wide', 100, 4), ('narrow', 1e-6, 1), ('wide', 1e-6, 4)):
        done = tool('list.txt', '--out', out, '--max-new-tokens', '8', '--room', room, '--batch-size', 'auto')
        assert done.returncode == 0, done.stderr
        assert json.loads((tmp_path / out / 'settings.json').read_text())['batch_size'] == size
    assert '4 at a time' in done.stdout
