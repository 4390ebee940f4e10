"""A logistic rule over signals, and how well its probabilities hold.

Shape shorthand: N phrases, S signals.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmm_plugin.errors import UserError
from flmm_plugin.models.presence.signals import SIGNALS
from flmm_plugin.plain_json import to_json

Array = NDArray[np.float64]
RIDGE, FOLDS, BINS = 1e-2, 5, 10


@dataclass(frozen=True)
class PresenceRule:
    """``weights`` (S,) of standardised signals (``mean``, ``spread``) and ``bias``: the log odds of being there.

    ``reliability``: of each of ten bins of probability, as cross-validation gives it: ``count``, mean ``predicted`` and
    the share that was there, ``observed``. ``fitted_on``: how many phrases. ``signals``: their names.
    """

    signals: tuple[str, ...]
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    fitted_on: int
    reliability: tuple[dict[str, float], ...]

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
        )

    def __call__(self, signals: Array) -> Array:
        """(N,) probabilities of (N, S)."""
        mean, spread, weights = (np.array(values) for values in (self.mean, self.spread, self.weights))
        return probabilities(signals, mean, spread, weights, self.bias)

    def save(self, path: Path) -> None:
        path.write_text(to_json(asdict(self), indent=1) + '\n')

    @classmethod
    def load(cls, path: Path) -> PresenceRule:
        """
        Raises:
            UserError: the file is none of :meth:`save`, or of other signals.
        """
        try:
            content = json.loads(path.read_text())
            fields: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in content.items()}
            made = cls(**fields)
        except (OSError, ValueError, TypeError) as error:
            raise UserError(f'{path} is no presence rule ({error}): delete it, and it is fitted anew') from error
        if made.signals != SIGNALS:
            raise UserError(
                f'{path} weighs other signals ({", ".join(made.signals)}): delete it, and it is fitted anew'
            )
        return made


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


def reliability(probability: Array, there: NDArray[np.bool_]) -> list[dict[str, float]]:
    """The bins that hold something, see :class:`PresenceRule`."""
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
