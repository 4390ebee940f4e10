"""Panoptic narrative grounding: average recall."""

from __future__ import annotations

import numpy as np

from flmm_plugin.evaluation.grounding_metric import GroundingMetric, Overlaps
from flmm_plugin.registry import METRICS


def average_recall(ious: np.ndarray) -> float:
    """Area under the curve of recall over the IoU threshold, (P,) -> a fraction.

    Recall at t is the share of phrases with IoU >= t. Its integral over t in [0, 1) is exactly the mean IoU: each
    phrase counts from 0 up to its own IoU. The benchmark's code, which the authors of F-LMM use, sums 99,999 steps of
    1e-5 instead and so differs by less than 1e-5: a phrase of IoU x adds ``1e-5 * min(floor(x / 1e-5) + 1, 99999)``.
    """
    return float(ious.mean())


@METRICS.register_module()
class PNGMetric(GroundingMetric):
    """Average recall over all phrases, things, stuff, singulars and plurals; plurals count as things.

    ``AR_*`` and ``mIoU_*`` are the same number under the names that the benchmark and readers use, see
    :func:`average_recall`. ``acc@0.5`` is the share of phrases with IoU > 0.5. A kind that has no phrase is left out.
    """

    default_prefix = 'png'

    def accepts(self, protocol: str) -> bool:
        return protocol == 'narrative'

    def measure(self, group: Overlaps) -> dict[str, float]:
        ious = group.ious
        kinds = {
            'all': np.ones_like(group.is_thing),
            'thing': group.is_thing,
            'stuff': ~group.is_thing,
            'singular': ~group.is_plural,
            'plural': group.is_plural,
        }
        recalls = {kind: average_recall(ious[chosen]) for kind, chosen in kinds.items() if chosen.any()}
        metrics = {f'AR_{kind}': recall for kind, recall in recalls.items()}
        metrics.update({f'mIoU_{kind}': recalls[kind] for kind in ('all', 'thing', 'stuff') if kind in recalls})
        metrics['acc@0.5'] = float((ious > 0.5).mean())
        return metrics
