"""The benchmark measures ways that end up with the same maps, and says what it found; timings are not judged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from flmm_plugin.benchmark.extract import interleaved
from flmm_plugin.benchmark.forward import FORWARDS, bare, captured, eager
from flmm_plugin.benchmark.presets import PRESETS, RandomLlava, grid_for, make_inputs
from flmm_plugin.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
TOKENS, PHRASES = 120, 3
RATIOS = ('time_vs_bare', 'peak_memory_vs_bare', 'speedup_vs_eager', 'kept_bytes_vs_eager')


@pytest.fixture(scope='module')
def lmm() -> RandomLlava:
    return RandomLlava(PRESETS['tiny'], grid_for(TOKENS, PHRASES))


@pytest.mark.parametrize('tokens, phrases', [(60, 1), (120, 3), (700, 6), (3000, 6)])
def test_inputs_have_the_length_asked_for(tokens: int, phrases: int) -> None:
    sample = make_inputs(tokens, phrases)
    assert len(sample.input_ids) == tokens
    assert sample.num_phrases == phrases
    assert set(sample.phrase_ids[sample.phrase_rows].tolist()) == set(range(phrases))
    (grid,) = sample.grids
    assert grid.columns.max() < sample.phrase_rows.min()
    assert len(grid.columns) == grid.height * grid.width == (sample.input_ids == 1).sum()
    if tokens >= 700:
        assert len(grid.columns) > 0.85 * tokens


@pytest.mark.parametrize('tokens, phrases', [(34, 6), (10, 2), (100, 0)])
def test_no_room_for_an_image(tokens: int, phrases: int) -> None:
    with pytest.raises(UserError, match='--tokens must be over'):
        make_inputs(tokens, phrases)


def test_ours_and_eager_end_up_with_the_same_maps(lmm: RandomLlava) -> None:
    sample = make_inputs(TOKENS, PHRASES)
    ours, theirs = captured(lmm, sample), eager(lmm, sample)
    assert ours.maps is not None and theirs.maps is not None
    grid = grid_for(TOKENS, PHRASES)
    assert ours.maps.shape == theirs.maps.shape == (PHRASES, 8, grid, grid)
    torch.testing.assert_close(ours.maps, theirs.maps, atol=1e-6, rtol=0)
    assert bare(lmm, sample).num_bytes == 0
    assert theirs.num_bytes == 2 * 4 * TOKENS**2 * 4 + 3 * TOKENS * 64 * 4  # 2 layers, 4 heads, width 64, fp32
    assert ours.num_bytes == PHRASES * 8 * grid**2 * 4 + 2 * 12 * 64 * 4


def test_ways_leave_the_model_as_it_was(lmm: RandomLlava) -> None:
    sample, before = make_inputs(TOKENS, PHRASES), lmm.weights_hash()
    first = captured(lmm, sample).maps
    for way in FORWARDS.values():
        way(lmm, sample)
    assert torch.equal(first, captured(lmm, sample).maps)
    assert lmm.weights_hash() == before


def test_ways_take_turns() -> None:
    calls: list[str] = []
    seconds = interleaved({name: lambda name=name: calls.append(name) for name in 'abc'}, repeats=3)
    assert ''.join(calls) == 'abcbcacab'
    assert set(seconds) == set('abc')


def benchmark(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, 'tools/benchmark.py', 'extract', '--preset', 'tiny', '--device', 'cpu', *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_tool_prints_one_json_object(tmp_path: Path) -> None:
    plot = tmp_path / 'costs.png'
    done = benchmark('--tokens', '90', '120', '--phrases', '2', '--repeats', '1', '--json', '--plot', str(plot))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result['preset'] == 'tiny' and result['repeats'] == 1 and result['dtype'] == 'float32'
    assert plot.read_bytes().startswith(b'\x89PNG')
    assert {'machine', 'cores', 'threads', 'torch', 'transformers', 'date'} <= set(result)
    assert [row['tokens'] for row in result['extract']] == [90, 120]
    for row in result['extract']:
        assert all(row[name] > 0 for name in RATIOS)
        assert row['max_difference'] < 1e-6
        assert row['kept_bytes']['bare'] == 0 < row['kept_bytes']['ours'] < row['kept_bytes']['eager']
        assert row['kept_bytes_vs_eager'] == row['kept_bytes']['ours'] / row['kept_bytes']['eager']
        assert all(row['peak_bytes'][way] > 1e8 for way in FORWARDS)  # the libraries alone take more


def test_tool_says_what_is_wrong() -> None:
    done = benchmark('--tokens', '20')
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith('Error: 20 tokens have no room')
