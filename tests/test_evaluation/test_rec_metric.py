"""Boxes of masks: by hand, and against torchvision."""

from __future__ import annotations

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData
from torchvision.ops import box_iou, masks_to_boxes

from flmm_plugin.boxes import fill_boxes
from flmm_plugin.evaluation import RECMetric
from flmm_plugin.evaluation.grounding_metric import overlaps
from tests.test_evaluation.test_metrics import blobs, predictions


def rectangle(x0: int, y0: int, x1: int, y1: int) -> torch.Tensor:
    mask = torch.zeros(20, 20, dtype=torch.bool)
    mask[y0:y1, x0:x1] = True
    return mask


def sample(predicted: list[torch.Tensor], true: list[torch.Tensor], protocol: str, name: str = '') -> DetDataSample:
    made = DetDataSample(metainfo=dict(protocol=protocol, dataset_name=name))
    flags = torch.zeros(len(true), dtype=torch.bool)
    made.gt_instances = InstanceData(masks=torch.stack(true), is_thing=~flags, is_plural=flags)
    made.pred_instances = InstanceData(masks=torch.stack(predicted), coarse_masks=torch.stack(true))
    return made


def test_by_hand() -> None:
    true = rectangle(2, 2, 12, 12)
    corners = rectangle(2, 2, 4, 4) | rectangle(10, 10, 12, 12)  # the same box, few of the pixels
    half, more = rectangle(2, 2, 12, 7), rectangle(2, 2, 12, 8)  # IoU 0.5, which is not above it, and 0.6
    samples = [
        sample([corners, half, more], [true] * 3, 'concat/first_sentence', 'refcoco_val'),
        sample([torch.zeros_like(true)], [true], 'independent/all_sentences'),
        sample([true], [true], 'narrative'),
    ]
    metrics = Evaluator([RECMetric(), RECMetric(field='coarse_masks')]).offline_evaluate(samples)
    assert metrics == {
        'rec/refcoco_val/concat/first_sentence/Acc@0.5': pytest.approx(2 / 3),
        'rec/independent/all_sentences/Acc@0.5': 0.0,
        'rec_coarse/refcoco_val/concat/first_sentence/Acc@0.5': 1.0,
        'rec_coarse/independent/all_sentences/Acc@0.5': 1.0,
    }


def test_ious_are_those_of_torchvision() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = blobs(generator, 50), blobs(generator, 50)
    far = torch.tensor([0, 0, 1, 1])  # its boxes end with the last pixel
    expected = box_iou(masks_to_boxes(first) + far, masks_to_boxes(second) + far).diagonal()
    both, either = overlaps(fill_boxes(first), fill_boxes(second))
    assert both / either == pytest.approx(expected.numpy())
    assert (expected > 0.5).any() and (expected < 0.5).any()


def test_all_expressions_count() -> None:
    samples = predictions()
    hits = []
    for one in samples:
        both, either = overlaps(fill_boxes(one.pred_instances.masks), fill_boxes(one.gt_instances.masks))
        hits += (both / either > 0.5).tolist()
    (value,) = Evaluator(RECMetric()).offline_evaluate(samples).values()
    assert value == pytest.approx(sum(hits) / len(hits))


def test_unknown_field() -> None:
    with pytest.raises(ValueError, match='coarse_masks'):
        RECMetric(field='boxes')
