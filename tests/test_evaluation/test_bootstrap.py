"""Confidence intervals: against the normal approximation, and what paired draws can tell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flmm_plugin.errors import DataError
from flmm_plugin.evaluation.bootstrap import aligned, differences, estimates, split_by_group


def records(ious: np.ndarray, phrases_per_image: int = 1) -> list[dict[str, Any]]:
    return [
        dict(
            group='concat/first_sentence',
            sample_id=f'val/{i // phrases_per_image}',
            img_id=i // phrases_per_image,
            index=i % phrases_per_image,
            phrase=f'thing {i}',
            iou=float(iou),
            intersection=int(1000 * iou),
            union=1000,
        )
        for i, iou in enumerate(ious)
    ]


def test_interval_of_a_mean_is_that_of_the_normal_approximation() -> None:
    ious = np.random.default_rng(0).uniform(size=400)
    found = estimates(records(ious))['mIoU']
    half = 1.96 * ious.std() / 20
    assert found.value == pytest.approx(ious.mean())
    assert found.low == pytest.approx(ious.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(ious.mean() + half, abs=0.1 * half)


def test_phrases_of_an_image_are_drawn_together() -> None:
    """Four copies of each phrase in its image say no more than one."""
    ious = np.random.default_rng(0).uniform(size=100)
    alone, copied = estimates(records(ious)), estimates(records(ious.repeat(4), 4))
    for figure in ('mIoU', 'cIoU', 'Pr@0.5'):
        assert copied[figure].high - copied[figure].low == pytest.approx(alone[figure].high - alone[figure].low)


def test_pairs_show_a_small_steady_gain_that_intervals_hide() -> None:
    rng = np.random.default_rng(0)
    ious = rng.uniform(0, 0.9, size=200)
    first, second = records(ious), records(ious + rng.uniform(0, 0.04, size=200))
    alone = [estimates(run)['mIoU'] for run in (first, second)]
    assert alone[1].low < alone[0].high
    change = differences(first, second)['mIoU']
    assert change.low > 0 and change.p_value < 0.01
    assert change.value == pytest.approx(alone[1].value - alone[0].value)


def test_no_difference_is_not_significant() -> None:
    rng = np.random.default_rng(1)
    ious = rng.uniform(size=200)
    change = differences(records(ious), records((ious + rng.normal(0, 0.1, size=200)).clip(0, 1)))['mIoU']
    assert change.low < 0 < change.high and change.p_value > 0.05


def test_runs_on_other_phrases_cannot_be_compared() -> None:
    first = records(np.full(5, 0.5))
    with pytest.raises(DataError, match=r"1 are in one of them only, for example phrase 0 of 'val/4'"):
        aligned(first, first[:4])
    with pytest.raises(DataError, match=r"'thing 4' and 'other'"):
        aligned(first, [*first[:4], dict(first[4], phrase='other')])


def test_order_of_the_second_run_does_not_matter() -> None:
    first = records(np.linspace(0, 1, 10))
    assert aligned(first, first[::-1])[1] == first


def test_narratives_are_told_apart_by_kind() -> None:
    base = records(np.full(3, 0.5))
    flags = [(True, False), (True, True), (False, False)]
    narrative = [
        dict(one, group='narrative', is_thing=thing, is_plural=plural)
        for one, (thing, plural) in zip(base, flags, strict=True)
    ]
    sizes = {name: len(group) for name, group in split_by_group(narrative).items()}
    kinds = {'(thing)': 2, '(stuff)': 1, '(plural)': 1, '(singular)': 2}
    assert sizes == {'narrative': 3} | {f'narrative {kind}': count for kind, count in kinds.items()}
