"""The benchmark measures ways that end up with the same maps, and says what it found; timings are not judged."""

from __future__ import annotations

import pytest
import torch

from flmm_plugin.benchmark.extract import interleaved
from flmm_plugin.benchmark.forward import FORWARDS, bare, captured, eager
from flmm_plugin.benchmark.inputs import make_inputs
from flmm_plugin.benchmark.presets import PRESETS, RandomLlava, grid_for

TOKENS, PHRASES = 120, 3


@pytest.fixture(scope='module')
def lmm() -> RandomLlava:
    return RandomLlava(PRESETS['tiny'], grid_for(TOKENS, PHRASES))


def test_ours_and_eager_end_up_with_the_same_maps(lmm: RandomLlava) -> None:
    sample = make_inputs(lmm, TOKENS, PHRASES)
    ours, theirs = captured(lmm, sample), eager(lmm, sample)
    assert ours.maps is not None and theirs.maps is not None
    grid = grid_for(TOKENS, PHRASES)
    assert ours.maps.shape == theirs.maps.shape == (PHRASES, 8, grid, grid)
    torch.testing.assert_close(ours.maps, theirs.maps, atol=1e-6, rtol=0)
    assert bare(lmm, sample).num_bytes == 0
    assert theirs.num_bytes == 2 * 4 * TOKENS**2 * 4 + 3 * TOKENS * 64 * 4  # 2 layers, 4 heads, width 64, fp32
    assert ours.num_bytes == PHRASES * 8 * grid**2 * 4 + 2 * 12 * 64 * 4


def test_ways_leave_the_model_as_it_was(lmm: RandomLlava) -> None:
    sample, before = make_inputs(lmm, TOKENS, PHRASES), lmm.weights_hash()
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
