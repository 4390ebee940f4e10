"""Referring expression segmentation: cIoU, mIoU, precision at IoU thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flmm_plugin.evaluation.grounding_metric import GroundingMetric, Overlaps, cumulative_iou
from flmm_plugin.registry import METRICS


@METRICS.register_module()
class RESMetric(GroundingMetric):
    """cIoU (sum of intersections / sum of unions), mIoU (mean of IoUs) and Pr@t (share of IoU >= t).

    Evaluates every protocol of :class:`~flmm_plugin.datasets.RefCOCODataset`, apart from one another.
    cIoU and mIoU equal those of mmdet's ``RefSegMetric``, which gives percentages.
    """

    default_prefix = 'res'

    def __init__(self, thresholds: Sequence[float] = (0.5, 0.6, 0.7, 0.8, 0.9), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.thresholds = tuple(thresholds)

    def accepts(self, protocol: str) -> bool:
        return protocol.startswith(('concat/', 'independent/'))

    def measure(self, group: Overlaps) -> dict[str, float]:
        ious = group.ious
        metrics = {'cIoU': cumulative_iou(group.intersections, group.unions), 'mIoU': ious.mean()}
        metrics.update({f'Pr@{threshold:g}': (ious >= threshold).mean() for threshold in self.thresholds})
        return metrics
