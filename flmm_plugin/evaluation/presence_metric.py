"""Is it there? How well a model's ``presence`` tells what is in the picture from what is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from numpy.typing import NDArray

from flmm_plugin.evaluation.grounding_metric import SKIPPED
from flmm_plugin.models.presence.reliability import calibration_error
from flmm_plugin.registry import METRICS


@METRICS.register_module()
class PresenceMetric(BaseMetric):
    """``presence/auroc`` over all phrases, ``auroc_hard`` over the split ``hard``, ``calibration_error`` (expected, ten
    bins), and ``auroc_SIGNAL`` of each signal alone. Samples without a phrase are left out."""

    default_prefix = 'presence'

    def __init__(self, hard: str = 'adversarial', **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hard = hard

    def accepts(self, protocol: str) -> bool:
        return protocol == 'yes_no'

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            if self.accepts(sample['protocol']) and sample.get('presence') is not None:
                hard = sample['dataset_name'].endswith(self.hard)
                self.results.append((bool(sample['label']), hard, sample['presence'], sample['signals']))
            else:
                self.results.append(SKIPPED)

    def compute_metrics(self, results: list) -> dict[str, float]:
        records = [result for result in results if result != SKIPPED]
        if not records:
            return {}
        there, hard = (np.array([record[place] for record in records], dtype=bool) for place in (0, 1))
        presence = np.array([record[2] for record in records], dtype=np.float64)
        metrics = dict(auroc=auroc(presence, there), calibration_error=calibration_error(presence, there))
        if hard.any():
            metrics['auroc_hard'] = auroc(presence[hard], there[hard])
        for name in records[0][3]:
            metrics[f'auroc_{name}'] = auroc(np.array([record[3][name] for record in records]), there)
        return metrics


def auroc(values: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """How often a positive has the larger value of the two, ties counting half; NaN where there is but one kind."""
    high, low = np.sort(values[positive]), np.sort(values[~positive])
    if not len(high) or not len(low):
        return float('nan')
    below, up_to = (np.searchsorted(low, high, side=side) for side in ('left', 'right'))
    return float((below + up_to).mean() / 2 / len(low))
