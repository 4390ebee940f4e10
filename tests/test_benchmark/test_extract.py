"""The benchmark measures ways that end up with the same maps, and says what it found; timings are not judged."""

from __future__ import annotations

from dataclasses import replace

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
    """Of each sample of a batch; what is kept grows with it."""
    sample = make_inputs(lmm, TOKENS, PHRASES)
    other = replace(sample, phrase_ids=sample.phrase_ids.roll(2))
    grid = grid_for(TOKENS, PHRASES)
    for samples in ([sample], [sample, other]):
        ours, theirs = captured(lmm, samples), eager(lmm, samples)
        assert len(ours.maps) == len(theirs.maps) == len(samples)
        for mine, expected in zip(ours.maps, theirs.maps, strict=True):
            assert mine.shape == (PHRASES, 8, grid, grid)
            torch.testing.assert_close(mine, expected, atol=1e-6, rtol=0)
        assert bare(lmm, samples).num_bytes == 0
        per_sample = 2 * 4 * TOKENS**2 * 4 + 3 * TOKENS * 64 * 4  # 2 layers, 4 heads, width 64, fp32
        assert theirs.num_bytes == per_sample * len(samples)
        assert ours.num_bytes == (PHRASES * 8 * grid**2 * 4 + 2 * 12 * 64 * 4) * len(samples)
    assert (ours.maps[0] - ours.maps[1]).abs().max() > 1e-6


def test_ways_leave_the_model_as_it_was(lmm: RandomLlava) -> None:
    sample, before = make_inputs(lmm, TOKENS, PHRASES), lmm.weights_hash()
    (first,) = captured(lmm, [sample]).maps
    for way in FORWARDS.values():
        way(lmm, [sample])
    assert torch.equal(first, captured(lmm, [sample]).maps[0])
    assert lmm.weights_hash() == before


def test_ways_take_turns() -> None:
    calls: list[str] = []
    seconds = interleaved({name: lambda name=name: calls.append(name) for name in 'abc'}, repeats=3)
    assert ''.join(calls) == 'abcbcacab'
    assert set(seconds) == set('abc')
