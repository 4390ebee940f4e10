"""Packing a sample for the model."""

from __future__ import annotations

from typing import Any

import torch
from mmcv.transforms import BaseTransform
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from flmm_plugin.registry import TRANSFORMS

#: of the samples that have them
FURTHER_KEYS = ('captions', 'begin')
META_KEYS = ('img_id', 'img_path', 'ori_shape', 'sample_id', 'dataset_name', 'protocol', 'prompt', 'segments')


@TRANSFORMS.register_module()
class PackGroundingInputs(BaseTransform):
    """Pack a sample: ``inputs`` (3, H, W) uint8 RGB and ``data_samples``, an mmdet ``DetDataSample``.

    ``gt_instances``, in phrase-index order: ``masks`` (P, H, W) bool, ``phrases`` list of str, ``is_thing`` and
    ``is_plural`` (P,) bool, and ``labels`` (P,), the phrase indices, by which mmdet's visualizer chooses colours.
    Where some pixels are not to count, ``ignored`` (P, H, W) bool says which; of ReasonSeg's, ``is_long`` (P,) bool.
    The metainfo has what :data:`META_KEYS` names, of :data:`FURTHER_KEYS` what there is, and ``gt_masks`` (mmdet
    ``BitmapMasks``), where mmdet's ``RefSegMetric`` looks for the truth.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        phrases = results['phrases']
        sample = DetDataSample(metainfo={key: results[key] for key in META_KEYS})
        # set_metainfo would copy the masks
        sample.set_field(results['gt_masks'], 'gt_masks', field_type='metainfo')
        sample.gt_instances = InstanceData(
            masks=torch.from_numpy(results['gt_masks'].masks).bool(),
            labels=torch.arange(len(phrases)),
            phrases=[phrase['text'] for phrase in phrases],
            is_thing=torch.tensor([phrase['is_thing'] for phrase in phrases], dtype=torch.bool),
            is_plural=torch.tensor([phrase['is_plural'] for phrase in phrases], dtype=torch.bool),
        )
        sample.set_metainfo({key: results[key] for key in FURTHER_KEYS if key in results})
        if phrases and 'is_long' in phrases[0]:
            sample.gt_instances.is_long = torch.tensor([phrase['is_long'] for phrase in phrases], dtype=torch.bool)
        if 'gt_ignored' in results:
            sample.gt_instances.ignored = torch.from_numpy(results['gt_ignored']).bool()
        image = torch.from_numpy(results['img']).permute(2, 0, 1).contiguous()
        return dict(inputs=image, data_samples=sample)
