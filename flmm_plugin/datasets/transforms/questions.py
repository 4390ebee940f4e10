"""Packing a question for the model."""

from __future__ import annotations

from typing import Any

import torch
from mmcv.transforms import BaseTransform
from mmdet.structures import DetDataSample

from flmm_plugin.registry import TRANSFORMS

META_KEYS = (
    *('img_id', 'img_path', 'ori_shape', 'sample_id', 'dataset_name', 'protocol'),
    *('prompt', 'question_id', 'label', 'phrase'),
)


@TRANSFORMS.register_module()
class PackQuestion(BaseTransform):
    """Pack a sample of :class:`YesNoDataset`: ``inputs`` (3, H, W) uint8 RGB and ``data_samples``, whose metainfo has
    what :data:`META_KEYS` names."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        image = torch.from_numpy(results['img']).permute(2, 0, 1).contiguous()
        return dict(inputs=image, data_samples=DetDataSample(metainfo={key: results[key] for key in META_KEYS}))
