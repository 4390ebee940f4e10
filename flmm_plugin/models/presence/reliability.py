"""How well probabilities hold, and from which of them on one is right how often.

Shape shorthand: N phrases.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flmm_plugin.errors import UserError

Array = NDArray[np.float64]
BINS = 10
FEW = 10  # of which a share says nothing
LIMITS = tuple(round(0.02 * step, 2) for step in range(1, 50))


def reliability(probability: Array, there: NDArray[np.bool_]) -> list[dict[str, float]]:
    """Of each tenth that holds any of (N,) probabilities: ``count``, mean ``predicted``, the share ``observed``."""
    places = np.minimum((probability * BINS).astype(int), BINS - 1)
    bins = []
    for place in range(BINS):
        inside = places == place
        if inside.any():
            means = dict(predicted=float(probability[inside].mean()), observed=float(there[inside].mean()))
            bins.append(dict(count=float(inside.sum()), **means))
    return bins


def calibration_error(probability: Array, there: NDArray[np.bool_]) -> float:
    """Expected calibration error over ten bins."""
    bins = reliability(probability, there)
    return sum(one['count'] * abs(one['predicted'] - one['observed']) for one in bins) / max(len(there), 1)


def operating_points(probability: Array, there: NDArray[np.bool_]) -> list[dict[str, float]]:
    """What ``limit`` gives which ``precision`` and ``recall``, as long as :data:`FEW` reach it."""
    points = []
    for limit in LIMITS:
        taken = probability >= limit
        if taken.sum() < FEW:
            break
        recall = there[taken].sum() / max(there.sum(), 1)
        points.append(dict(limit=limit, precision=float(there[taken].mean()), recall=float(recall)))
    return points


def limit_for(points: Sequence[dict[str, float]], precision: float) -> float:
    """The smallest limit from which on the precision is never less than asked for.

    Raises:
        UserError: there is none; the message names the best.
    """
    found = None
    for point in reversed(points):
        if point['precision'] < precision:
            break
        found = point['limit']
    if found is None:
        best = max((point['precision'] for point in points), default=0.0)
        raise UserError(f'no presence gives a precision of {precision}; the best that held is {best:.3f}: ask for less')
    return found
