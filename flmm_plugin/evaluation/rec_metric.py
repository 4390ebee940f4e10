"""Referring expression comprehension: the boxes of the masks, Acc@0.5."""

from __future__ import annotations

from typing import Any

from flmm_plugin.boxes import fill_boxes
from flmm_plugin.evaluation.grounding_metric import GroundingMetric, Overlaps
from flmm_plugin.registry import METRICS


@METRICS.register_module()
class RECMetric(GroundingMetric):
    """Share of the expressions whose box has an IoU above 0.5 with the true one, as most LMMs are compared.

    Both boxes are those around the masks. The true one is thus within a pixel of RefCOCO's annotated box, whose edges
    are those of the polygons. An empty mask has no box and counts as a miss.

    Evaluates every protocol of :class:`~flmm_plugin.datasets.RefCOCODataset`. Results are named
    ``rec/[DATA SET/]PROTOCOL/Acc@0.5``.

    Args:
        threshold: of the IoU, which has to be above it.
    """

    default_prefix = 'rec'

    def __init__(self, threshold: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.threshold = threshold

    def accepts(self, protocol: str) -> bool:
        return protocol.startswith(('concat/', 'independent/'))

    def overlaps(self, sample: dict) -> Overlaps:
        """Of the boxes in place of the masks."""
        found, truth = sample['pred_instances'], sample['gt_instances']
        boxes = {self.field: fill_boxes(found[self.field].bool())}
        true = {**truth, 'masks': fill_boxes(truth['masks'].bool())}
        return Overlaps.of_sample({**sample, 'pred_instances': boxes, 'gt_instances': true}, self.field)

    def measure(self, group: Overlaps) -> dict[str, float]:
        return {f'Acc@{self.threshold:g}': (group.ious > self.threshold).mean()}
