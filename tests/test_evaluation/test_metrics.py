"""Metrics against independent references: pycocotools, mmdet's RefSegMetric, a brute-force integral."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.evaluation import RefSegMetric
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData
from pycocotools import mask as coco_mask

from flmm_plugin.evaluation import PNGMetric, RESMetric
from flmm_plugin.evaluation.grounding_metric import SKIPPED
from flmm_plugin.evaluation.png_metric import average_recall

RES = 'concat/all_sentences'


def blobs(generator: torch.Generator, number: int) -> torch.Tensor:
    """(number, 24, 32) random rectangles."""
    masks = torch.zeros(number, 24, 32, dtype=torch.bool)
    for mask in masks:
        top, left = (int(torch.randint(0, 12, (), generator=generator)) for _ in range(2))
        mask[top : top + 10, left : left + 14] = True
    return masks


def predictions(number: int = 20, protocol: str = RES, seed: int = 0, name: str = '') -> list[DetDataSample]:
    generator = torch.Generator().manual_seed(seed)
    samples = []
    for index in range(number):
        count = 1 + index % 4
        truth, refined, coarse = (blobs(generator, count) for _ in range(3))
        if index == 0:
            refined[:] = False
        sample = DetDataSample(metainfo=dict(protocol=protocol, dataset_name=name))
        sample.set_field(BitmapMasks(truth.numpy().astype(np.uint8), 24, 32), 'gt_masks', field_type='metainfo')
        flags = torch.rand(2, count, generator=generator) > 0.5
        plural = flags[0] & flags[1]
        sample.gt_instances = InstanceData(masks=truth, is_thing=flags[0] | plural, is_plural=plural)
        sample.pred_instances = InstanceData(masks=refined, coarse_masks=coarse)
        samples.append(sample)
    return samples


def evaluate(metric: Any, samples: list[DetDataSample]) -> dict[str, float]:
    return Evaluator(metric).offline_evaluate(samples)


def coco_ious(samples: list[DetDataSample], field: str = 'masks') -> np.ndarray:
    ious = []
    for sample in samples:
        for predicted, truth in zip(sample.pred_instances[field], sample.gt_instances.masks, strict=True):
            encoded = [coco_mask.encode(np.asfortranarray(m.numpy().astype(np.uint8))) for m in (predicted, truth)]
            ious.append(coco_mask.iou([encoded[0]], [encoded[1]], [0])[0, 0])
    return np.array(ious)


@pytest.mark.parametrize('field, prefix', [('masks', 'res'), ('coarse_masks', 'res_coarse')])
def test_res_agrees_with_pycocotools(field: str, prefix: str) -> None:
    samples = predictions()
    ious = coco_ious(samples, field)
    metrics = evaluate(RESMetric(field=field), samples)
    assert metrics[f'{prefix}/{RES}/mIoU'] == pytest.approx(ious.mean())
    for threshold in (0.5, 0.6, 0.7, 0.8, 0.9):
        assert metrics[f'{prefix}/{RES}/Pr@{threshold}'] == pytest.approx((ious >= threshold).mean())


def test_res_agrees_with_mmdet() -> None:
    samples = predictions()
    theirs = evaluate(RefSegMetric(), samples)
    ours = evaluate(RESMetric(), samples)
    for name in ('cIoU', 'mIoU'):
        assert 100 * ours[f'res/{RES}/{name}'] == pytest.approx(float(theirs[name]), rel=1e-5)


def benchmark_average_accuracy(ious: np.ndarray) -> float:
    """The benchmark's sum, spelled out: left edges of 99,999 steps between 100,000 thresholds."""
    thresholds = np.arange(0, 1, 1e-5)
    recalls = (ious[None, :] >= thresholds[:, None]).mean(1)
    return float((np.diff(thresholds) * recalls[:-1]).sum())


def test_average_recall_is_the_integral() -> None:
    ious = np.concatenate([[0.0, 1.0, 0.5], np.random.default_rng(0).random(40)])
    assert average_recall(ious) == pytest.approx(benchmark_average_accuracy(ious), abs=1e-5)
    edges = np.unique(np.concatenate([[0.0, 1.0], ious]))
    exact = sum((b - a) * (ious >= b).mean() for a, b in itertools.pairwise(edges))
    assert average_recall(ious) == pytest.approx(exact, abs=1e-12)


def test_png_kinds() -> None:
    samples = predictions(protocol='narrative')
    ious = coco_ious(samples)
    thing = torch.cat([sample.gt_instances.is_thing for sample in samples]).numpy()
    plural = torch.cat([sample.gt_instances.is_plural for sample in samples]).numpy()
    metrics = evaluate(PNGMetric(), samples)
    for kind, chosen in dict(all=thing | ~thing, thing=thing, stuff=~thing, singular=~plural, plural=plural).items():
        assert metrics[f'png/narrative/AR_{kind}'] == pytest.approx(ious[chosen].mean())
    assert metrics['png/narrative/mIoU_stuff'] == metrics['png/narrative/AR_stuff']
    assert metrics['png/narrative/acc@0.5'] == pytest.approx((ious > 0.5).mean())


def test_one_run_tells_protocols_and_data_sets_apart() -> None:
    parts = [
        predictions(4, 'narrative', seed=1),
        predictions(4, RES, seed=2),
        predictions(4, 'concat/first_sentence', seed=3),
        predictions(4, RES, seed=4, name='refcoco_val'),
    ]
    metrics = evaluate([RESMetric(), PNGMetric()], list(itertools.chain(*parts)))
    names = ('png/narrative/AR_all', f'res/{RES}/mIoU', 'res/concat/first_sentence/mIoU', f'res/refcoco_val/{RES}/mIoU')
    for name, part in zip(names, parts, strict=True):
        assert metrics[name] == pytest.approx(coco_ious(part).mean())


def test_kinds_without_a_phrase_are_left_out() -> None:
    samples = predictions(3, 'narrative')
    for sample in samples:
        sample.gt_instances.is_thing[:] = True
        sample.gt_instances.is_plural[:] = False
    metrics = evaluate(PNGMetric(), samples)
    assert 'png/narrative/AR_thing' in metrics
    assert not [name for name in metrics if 'stuff' in name or 'plural' in name]


def test_every_sample_leaves_one_result() -> None:
    """mmengine merges the ranks' results by position, so skipped samples must keep their place."""
    metric = PNGMetric()
    samples = [sample.to_dict() for sample in predictions(3, RES) + predictions(2, 'narrative')]
    metric.process(None, samples)
    assert [result == SKIPPED for result in metric.results] == [True] * 3 + [False] * 2


def test_unknown_field_is_refused() -> None:
    with pytest.raises(ValueError, match='coarse_masks'):
        RESMetric(field='boxes')
