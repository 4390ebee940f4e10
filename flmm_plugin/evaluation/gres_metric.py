"""Generalised referring expression segmentation: expressions may mean several things, or nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from flmm_plugin.errors import UserError
from flmm_plugin.evaluation.grounding_metric import GroundingMetric, Overlaps, cumulative_iou
from flmm_plugin.registry import METRICS


@METRICS.register_module()
class GRESMetric(GroundingMetric):
    """gIoU, cIoU, N-acc and T-acc of gRefCOCO (GRES, arXiv 2306.00968; ``ReferEvaluator`` in henghuiding/ReLA).

    A prediction of fewer than ``min_pixels`` pixels says "not there" and counts as an empty mask. ReLA has a head that
    says so; for models without one its authors threshold the size of the mask, at 50 pixels.

    - gIoU: mean over expressions of the IoU. An expression without target counts 1 if the prediction says
      "not there" and 0 otherwise; one with a target counts 0 if the prediction says "not there".
    - cIoU: sum of intersections / sum of unions. Pixels predicted for an expression without target are union. A denied
      mask is no mask; ReLA's code, whose masks know nothing of the head that denies, leaves such pixels in the union of
      expressions with a target.
    - N-acc: share of the expressions without target of which the prediction says "not there".
    - T-acc: share of the expressions with a target of which it does not. Either is left out if there is none.

    Args:
        min_presence: a prediction whose ``presence`` is below it says "not there" as well, whatever its size; results
            are prefixed ``gres_presence`` then, so that both can stand side by side. The model needs a presence rule
            (``PresenceRuleHook``).

    Raises:
        UserError: ``min_presence`` is given, and predictions have no presence.
    """

    default_prefix = 'gres'

    def __init__(self, min_pixels: int = 50, *, min_presence: float | None = None, **kwargs: Any) -> None:
        if min_presence is not None:
            self.default_prefix = 'gres_presence'
        super().__init__(**kwargs)
        self.min_pixels, self.min_presence = min_pixels, min_presence

    def accepts(self, protocol: str) -> bool:
        return protocol.startswith('generalized/')

    def overlaps(self, sample: dict) -> Overlaps:
        if self.min_presence is None:
            return super().overlaps(sample)
        found = sample['pred_instances']
        if 'presence' not in found:
            raise UserError(
                'GRESMetric(min_presence=...) needs predictions with a presence: add a PresenceRuleHook to the config '
                '(docs/evaluation.md, "Is it there?")'
            )
        shown = (found['presence'] >= self.min_presence).to(found[self.field].device)
        masks = found[self.field].bool() & shown[:, None, None]
        return Overlaps.of_sample({**sample, 'pred_instances': {self.field: masks}}, self.field)

    def measure(self, group: Overlaps) -> dict[str, float]:
        absent, denied = group.truth == 0, group.predicted < self.min_pixels
        intersections = np.where(denied, 0, group.intersections)
        unions = np.where(denied, group.truth, group.unions)
        ious = np.where(absent & denied, 1.0, intersections / np.maximum(unions, 1))
        metrics = {'gIoU': ious.mean(), 'cIoU': cumulative_iou(intersections, unions)}
        if absent.any():
            metrics['N-acc'] = denied[absent].mean()
        if not absent.all():
            metrics['T-acc'] = (~denied[~absent]).mean()
        return metrics
