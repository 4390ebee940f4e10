"""A test run of grounded conversation: the caption is the LMM's own, its phrases have masks."""

from __future__ import annotations

from pathlib import Path

import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData

from flmm_plugin.apis import talking  # noqa: F401  registers the model
from flmm_plugin.evaluation import GCGMetric
from flmm_plugin.registry import MODELS
from tests.tiny_checkpoint import CONFIG, draw_scene


def test_caption_phrases_and_masks(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = Config.fromfile(CONFIG).model
    model = MODELS.build({**config, 'type': 'TalkingFLMM', 'extractor': dict(type='RulePhrases')}).eval()
    image = torch.from_numpy(draw_scene(0)).permute(2, 0, 1).contiguous()
    about = dict(protocol='gcg', dataset_name='', img_id='a1', captions=['a scene'], prompt='Describe the image.')
    sample = DetDataSample(metainfo=about)
    sample.gt_instances = InstanceData(masks=torch.ones(1, 192, 192, dtype=torch.bool), phrases=['a scene'])
    (found,) = model([image], [sample], mode='predict')
    _, caption = model.lmm.generate(image, 'Describe the image.')
    assert found.caption == caption != ''
    masks, phrases = found.pred_instances.masks, found.pred_instances.phrases
    assert masks.shape == (len(phrases), 192, 192) and masks.dtype == torch.bool
    assert all(phrase in caption for phrase in phrases)
    metrics = Evaluator(GCGMetric(encoder='exact', out_dir=str(tmp_path))).offline_evaluate([found])
    assert set(metrics) == {'gcg/AP50', 'gcg/mIoU', 'gcg/recall_exact'} and (tmp_path / 'a1.json').is_file()
