"""Predictions as a file, for evaluation later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmdet.evaluation import DumpDetResults
from mmdet.structures.mask import encode_mask_results

from flmm_plugin.registry import METRICS

BULKY = ('gt_masks', 'attention_maps')


@METRICS.register_module()
class DumpGroundingResults(DumpDetResults):
    """mmdet's dump (a pickle, masks as RLE) without truth and attention maps, and with coarse masks as RLE too."""

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        slim = [{key: value for key, value in sample.items() if key not in BULKY} for sample in data_samples]
        for sample in slim:
            predicted = dict(sample['pred_instances'])
            predicted['coarse_masks'] = encode_mask_results(predicted['coarse_masks'].cpu().numpy())
            sample['pred_instances'] = predicted
        super().process(data_batch, slim)
