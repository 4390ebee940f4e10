"""Referring expression comprehension: the boxes of the masks, Acc@0.5."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from flmm_plugin.boxes import mask_boxes
from flmm_plugin.evaluation.grounding_metric import SKIPPED, group_name
from flmm_plugin.registry import METRICS


@METRICS.register_module()
class RECMetric(BaseMetric):
    """Share of the expressions whose box has an IoU above 0.5 with the true one, as most LMMs are compared.

    Both boxes are those around the masks. The true one is thus within a pixel of RefCOCO's annotated box, whose edges
    are those of the polygons. An empty mask has no box and counts as a miss.

    Evaluates every protocol of :class:`~flmm_plugin.datasets.RefCOCODataset`. Results are named
    ``rec/[DATA SET/]PROTOCOL/Acc@0.5``.

    Args:
        field: 'masks' (refined), or 'coarse_masks' (the mask head alone), whose results are prefixed 'rec_coarse'.
        threshold: of the IoU, which has to be above it.
    """

    default_prefix = 'rec'

    def __init__(self, field: str = 'masks', threshold: float = 0.5, prefix: str | None = None, **kwargs: Any) -> None:
        if field not in ('masks', 'coarse_masks'):
            raise ValueError(f"field={field!r}: expected 'masks' or 'coarse_masks'")
        super().__init__(prefix=prefix or ('rec_coarse' if field == 'coarse_masks' else 'rec'), **kwargs)
        self.field = field
        self.threshold = threshold

    def accepts(self, protocol: str) -> bool:
        return protocol.startswith(('concat/', 'independent/'))

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep what became of each expression; every sample leaves one result, see :class:`GroundingMetric`."""
        for sample in data_samples:
            if not self.accepts(sample['protocol']):
                self.results.append(SKIPPED)
                continue
            predicted, true = sample['pred_instances'][self.field], sample['gt_instances']['masks']
            ious = box_ious(predicted.bool(), true.to(predicted.device).bool())
            self.results.append((group_name(sample), (ious > self.threshold).tolist()))

    def compute_metrics(self, results: list) -> dict[str, float]:
        groups: dict[str, list[bool]] = defaultdict(list)
        for result in results:
            if result != SKIPPED:
                groups[result[0]] += result[1]
        return {f'{name}/Acc@{self.threshold:g}': sum(hits) / len(hits) for name, hits in groups.items()}


def box_ious(first: Tensor, second: Tensor) -> Tensor:
    """(P,) IoU of the boxes around the i-th of (P, H, W) bool masks; 0 where one of the two is empty."""
    boxes = [mask_boxes(masks) for masks in (first, second)]
    low, high = torch.maximum(*(box[:, :2] for box in boxes)), torch.minimum(*(box[:, 2:] for box in boxes))
    overlap = (high - low).clamp(min=0).prod(dim=1)
    areas = [(box[:, 2:] - box[:, :2]).prod(dim=1) for box in boxes]
    ious = overlap / (areas[0] + areas[1] - overlap)
    return torch.where(first.flatten(1).any(1) & second.flatten(1).any(1), ious, 0.0)
