"""A logistic rule over signals.

Shape shorthand: N phrases, S signals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flmm_plugin.errors import UserError
from flmm_plugin.models.presence.reliability import operating_points, reliability
from flmm_plugin.models.presence.signals import SIGNALS

Array = NDArray[np.float64]
RIDGE, FOLDS = 1e-3, 5  # more draws probabilities to the middle, and less follows single phrases: cross-validated


@dataclass(frozen=True)
class PresenceRule:
    """``weights`` (S,) of standardised signals (``mean``, ``spread``) and ``bias``: the log odds of being there.

    ``signals``: their names. ``fitted_on``: how many phrases. ``reliability`` and ``points``, as cross-validation gives
    them: see :func:`reliability` and :func:`operating_points`.
    """

    signals: tuple[str, ...]
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    fitted_on: int
    reliability: tuple[dict[str, float], ...]
    points: tuple[dict[str, float], ...]

    @classmethod
    def fit(cls, signals: Array, there: NDArray[np.bool_], names: Sequence[str] = SIGNALS) -> PresenceRule:
        """Maximum likelihood with a little ridge, from (N, S) and (N,).

        Raises:
            UserError: nothing, or everything, is there.
        """
        if there.all() or not there.any():
            raise UserError('a presence rule needs phrases that name something in the picture, and some that do not')
        folds = np.random.default_rng(0).permutation(len(there)) % FOLDS
        held_out = np.zeros(len(there))
        for fold in range(FOLDS):
            inside = folds != fold
            held_out[~inside] = probabilities(signals[~inside], *solve(signals[inside], there[inside]))
        mean, spread, weights, bias = solve(signals, there)
        return cls(
            signals=tuple(names),
            mean=tuple(mean.tolist()),
            spread=tuple(spread.tolist()),
            weights=tuple(weights.tolist()),
            bias=bias,
            fitted_on=len(there),
            reliability=tuple(reliability(held_out, there)),
            points=tuple(operating_points(held_out, there)),
        )

    def __call__(self, signals: Array) -> Array:
        """(N,) probabilities of (N, S)."""
        mean, spread, weights = (np.array(values) for values in (self.mean, self.spread, self.weights))
        return probabilities(signals, mean, spread, weights, self.bias)


def solve(signals: Array, there: NDArray[np.bool_]) -> tuple[Array, Array, Array, float]:
    """Newton's method: mean, spread, weights and bias. Signals that do not vary get no weight."""
    mean, spread = signals.mean(0), signals.std(0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    inputs = np.concatenate([(signals - mean) / spread, np.ones((len(signals), 1))], axis=1)
    ridge = RIDGE * len(signals) * np.eye(inputs.shape[1])
    ridge[-1, -1] = 1e-9  # the bias is free
    weights = np.zeros(inputs.shape[1])
    for _ in range(30):
        found = sigmoid(inputs @ weights)
        slope = inputs.T @ (found - there) + ridge @ weights
        curve = (inputs * (found * (1 - found))[:, None]).T @ inputs + ridge
        weights = weights - np.linalg.solve(curve, slope)
    return mean, spread, weights[:-1], float(weights[-1])


def probabilities(signals: Array, mean: Array, spread: Array, weights: Array, bias: float) -> Array:
    return sigmoid((signals - mean) / spread @ weights + bias)


def sigmoid(values: Array) -> Array:
    return 1 / (1 + np.exp(-np.clip(values, -30, 30)))
