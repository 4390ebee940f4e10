"""Memory is read after a third of the steps and after all."""

from __future__ import annotations

import pytest

from flmm_plugin.benchmark import memory
from flmm_plugin.benchmark.memory import growth


@pytest.mark.parametrize('steps, third', [(9, 3), (10, 3), (2, 1), (1, 1)])
def test_growth_between_a_third_and_all(monkeypatch: pytest.MonkeyPatch, steps: int, third: int) -> None:
    made: list[int] = []
    monkeypatch.setattr(memory, 'held', lambda device: 1000 * len(made))
    found = growth(lambda: made.append(0), steps, 'cpu')
    assert len(made) == steps
    assert found == dict(
        steps=steps,
        bytes_after_third=1000 * third,
        bytes_after_all=1000 * steps,
        growth_percent=pytest.approx(100 * (steps / third - 1)),
    )


def test_bytes_that_stay_are_seen() -> None:
    kept: list[bytearray] = []
    found = growth(lambda: kept.append(bytearray(b'x') * 50_000_000), 3, 'cpu')
    assert found['bytes_after_all'] - found['bytes_after_third'] > 80_000_000
    assert found['growth_percent'] > 0
