"""tools/benchmark.py as a user runs it, on presets and on the config whose model ships with the package."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flmm_plugin.benchmark.forward import FORWARDS
from tests.test_benchmark.conftest import WriteConfig
from tests.tiny_checkpoint import CONFIG

TOOL = Path(__file__).resolve().parents[2] / 'tools/benchmark.py'
RATIOS = ('time_vs_bare', 'peak_memory_vs_bare', 'speedup_vs_eager', 'kept_bytes_vs_eager')
IMAGE = 14 * 14  # tokens of the tiny config
Run = Callable[..., tuple[str, str, int]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Output, errors and exit status, in this process: starting Python and torch anew takes longer than the rest."""

    def run(*words: str) -> tuple[str, str, int]:
        monkeypatch.setattr(sys, 'argv', [str(TOOL), *words, '--device', 'cpu'])
        code: Any = 0
        try:
            runpy.run_path(str(TOOL), run_name='__main__')
        except SystemExit as stopped:
            code = stopped.code
        done = capsys.readouterr()
        return done.out, done.err, code

    return run


def check_costs(row: dict[str, Any]) -> None:
    assert all(row[name] > 0 for name in RATIOS)
    assert row['max_difference'] < 1e-6
    assert row['kept_bytes']['bare'] == 0 < row['kept_bytes']['ours'] < row['kept_bytes']['eager']
    assert row['kept_bytes_vs_eager'] == row['kept_bytes']['ours'] / row['kept_bytes']['eager']
    assert all(row['peak_bytes'][way] > 1e8 for way in FORWARDS)  # the libraries alone take more


def test_preset_as_one_json_object(run: Run, tmp_path: Path) -> None:
    plot = tmp_path / 'costs.png'
    options = ['--phrases', '2', '--batch', '2', '--layers', '3', '--repeats', '1', '--json', '--plot', str(plot)]
    out, err, code = run('extract', '--preset', 'tiny', '--tokens', '90', '120', *options)
    assert code == 0, err
    result = json.loads(out)
    assert result['preset'] == 'tiny' and result['repeats'] == 1 and result['dtype'] == 'float32'
    assert 'config' not in result and result['layers'] == 3 and result['batch'] == 2
    assert plot.read_bytes().startswith(b'\x89PNG')
    assert {'machine', 'cores', 'threads', 'torch', 'transformers', 'date'} <= set(result)
    assert [row['tokens'] for row in result['extract']] == [90, 120]
    for row in result['extract']:
        check_costs(row)
        # 3 layers of 4 heads, 4 states of width 64, fp32, 2 samples
        assert row['kept_bytes']['eager'] == 2 * 4 * (3 * 4 * row['tokens'] ** 2 + 4 * row['tokens'] * 64)


def test_what_cannot_be_measured(run: Run) -> None:
    for options, message in {
        ('--config', str(CONFIG), '--layers', '3'): '--layers is of presets',
        ('--preset', 'tiny', '--batch', '0'): '0 is not a whole number from 1 on',
    }.items():
        _, err, code = run('extract', *options)
        assert code == 2 and message in err


@pytest.mark.parametrize('what', ['extract', 'train', 'test', 'chat'])
def test_config(run: Run, what: str) -> None:
    batch = ['--batch', '1'] if what == 'train' else []  # 8 take 10 s
    out, err, code = run(what, '--config', str(CONFIG), '--phrases', '2', '--repeats', '1', '--json', *batch)
    assert code == 0, err
    result = json.loads(out)
    assert result['config'] == str(CONFIG) and result['dtype'] == 'float32' and 'preset' not in result
    (row,) = result['independent' if what == 'test' else what]
    assert row['tokens'] == IMAGE + 64
    if what == 'extract':
        assert row['image_tokens'] == IMAGE
        check_costs(row)
    if what == 'train':
        assert row['max_difference'] < 1e-4 and set(row['breakdown']) >= {'SAM encoder', 'SAM decoder'}
    if what == 'test':
        assert row['max_difference'] < 1e-6 and result['decode']['max_difference'] < 1e-3
    if what == 'chat':
        assert set(row['seconds']) == {'answer', 'capture', 'mask_head', 'sam'}


@pytest.mark.parametrize(
    'words, said',
    [
        (['extract', '--preset', 'tiny', '--tokens', '20'], '20 tokens have no room for an image and 6 phrases'),
        (['extract', '--config', str(CONFIG), '--tokens', '300', '200'], f'must be at least {IMAGE + 34} here'),
        (['train', '--config', 'no/such.py'], 'no/such.py'),
        (['chat', '--preset', 'tiny', '--phrases', '14'], 'room for --phrases 1 to 13'),
    ],
)
def test_says_what_is_wrong(run: Run, words: list[str], said: str) -> None:
    _, err, code = run(*words)
    assert code == 1
    assert err.splitlines()[-1].startswith('Error: ') and said in err.splitlines()[-1]


@pytest.mark.parametrize('what', ['test', 'chat'])
def test_nothing_to_measure_without_a_refiner(run: Run, write_config: WriteConfig, what: str) -> None:
    _, err, code = run(what, '--config', write_config(refiner=None).config)
    assert code == 1
    assert 'tiny.py has no refiner' in err.splitlines()[-1]


def test_a_preset_or_a_config(run: Run) -> None:
    _, err, code = run('train', '--preset', 'tiny', '--config', str(CONFIG))
    assert code == 2
    assert 'not allowed with argument' in err
