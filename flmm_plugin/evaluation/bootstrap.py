"""How sure a figure is: bootstrap over images, for one run or for two on the same phrases.

Phrases of one image succeed and fail together, so that images are drawn, not phrases. Shape shorthand: R resamples,
I images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmm_plugin.errors import DataError

Record = Mapping[str, Any]
FIGURES = ('mIoU', 'cIoU', 'Pr@0.5')


@dataclass(frozen=True)
class Estimate:
    """A figure and the bounds of its central 95 % over resamples."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference(Estimate):
    """Second run minus first; ``p_value`` is two-sided: how often resamples have the other sign, doubled."""

    p_value: float


def split_by_group(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Records by data set and protocol; narratives by kind of phrase as well, as PNG's figures are."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        names = [record['group']]
        if record['group'].endswith('narrative'):
            kinds = ('thing' if record['is_thing'] else 'stuff', 'plural' if record['is_plural'] else 'singular')
            names += [f'{record["group"]} ({kind})' for kind in kinds]
        for name in names:
            groups.setdefault(name, []).append(record)
    return groups


def estimates(records: Sequence[Record], resamples: int = 2000, seed: int = 0) -> dict[str, Estimate]:
    """mIoU, cIoU and Pr@0.5 of the records with 95 % confidence intervals."""
    values, drawn = _figures(records, resamples, seed)
    return {
        name: Estimate(values[name], *(float(x) for x in np.quantile(drawn[name], [0.025, 0.975]))) for name in FIGURES
    }


def differences(
    first: Sequence[Record], second: Sequence[Record], resamples: int = 2000, seed: int = 0
) -> dict[str, Difference]:
    """Second minus first on the same phrases, see :func:`aligned`; both are drawn with the same images (paired)."""
    (before, drawn_before), (after, drawn_after) = (_figures(run, resamples, seed) for run in (first, second))
    found = {}
    for name in FIGURES:
        change = drawn_after[name] - drawn_before[name]
        low, high = (float(x) for x in np.quantile(change, [0.025, 0.975]))
        p_value = min(1.0, 2 * float(min((change <= 0).mean(), (change >= 0).mean())))
        found[name] = Difference(after[name] - before[name], low, high, p_value)
    return found


def aligned(first: Sequence[Record], second: Sequence[Record]) -> tuple[list[Record], list[Record]]:
    """Both runs in the order of the first.

    Raises:
        DataError: the runs were not tested on the same phrases.
    """
    runs = [{(r['group'], r['sample_id'], r['index']): r for r in run} for run in (first, second)]
    if runs[0].keys() != runs[1].keys():
        alone = sorted(runs[0].keys() ^ runs[1].keys())
        raise DataError(
            f'The runs were not tested on the same phrases: {len(alone)} are in one of them only, for example '
            f'phrase {alone[0][2]} of {alone[0][1]!r} ({alone[0][0]}).'
        )
    for key, record in runs[0].items():
        if record['phrase'] != runs[1][key]['phrase']:
            raise DataError(
                f'The runs differ in phrase {key[2]} of {key[1]!r}: {record["phrase"]!r} and '
                f'{runs[1][key]["phrase"]!r}. Were sentences drawn at random?'
            )
    return list(runs[0].values()), [runs[1][key] for key in runs[0]]


def _figures(
    records: Sequence[Record], resamples: int, seed: int
) -> tuple[dict[str, float], dict[str, NDArray[np.float64]]]:
    """The figures of the records, and (R,) of them with images drawn with replacement."""
    _, image = np.unique([str(record['img_id']) for record in records], return_inverse=True)
    columns = np.array(
        [[r['iou'], r['iou'] >= 0.5, 1, r['intersection'], r['union']] for r in records], dtype=np.float64
    )
    sums = np.zeros((image.max() + 1, columns.shape[1]))
    np.add.at(sums, image, columns)
    rng = np.random.default_rng(seed)
    count = len(sums)
    drawn = np.stack([rng.multinomial(count, np.full(count, 1 / count)) @ sums for _ in range(resamples)])
    values = _ratios(sums.sum(0, keepdims=True))
    return {name: float(value[0]) for name, value in values.items()}, _ratios(drawn)


def _ratios(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    iou, hits, count, intersection, union = sums.T
    return dict(zip(FIGURES, (iou / count, intersection / np.maximum(union, 1), hits / count), strict=True))
