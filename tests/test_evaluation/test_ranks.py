"""Two processes give the metrics of one, though the samples do not divide evenly."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmdet.structures import DetDataSample

from flmm_plugin.evaluation import GCGMetric, GRESMetric, PNGMetric, POPEMetric, PresenceMetric, RECMetric, RESMetric
from tests.test_evaluation.test_metrics import RES, evaluate, predictions

WORLD = 2


def question(number: int) -> DetDataSample:
    about = dict(dataset_name=('random', 'adversarial')[number % 2], img_id=number // 4, label=number % 3 == 0)
    made = DetDataSample(metainfo=dict(protocol='yes_no', **about))
    made.set_field(('yes', 'no')[number // 2 % 2], 'answer')
    made.set_field(number / 17, 'presence')
    made.set_field(dict(asked=-number), 'signals')
    return made


def mixture() -> list:
    """17 samples, of all kinds."""
    absent = predictions(2, 'generalized/independent/all_sentences', seed=3)
    for sample in absent:
        sample.pred_instances.presence = torch.linspace(0, 1, len(sample.pred_instances.masks))
    told = predictions(3, 'gcg', seed=4)
    for number, sample in enumerate(told):
        sample.set_metainfo(dict(img_id=f'sa_{number}', captions=['a dog']))
        sample.set_field('a cat', 'caption')
        for instances in (sample.gt_instances, sample.pred_instances):
            instances.phrases = [f'thing {index}' for index in range(len(instances.masks))]
    known = predictions(2, 'narrative', seed=1) + predictions(3, RES, seed=2)
    return known + absent + told + [question(number) for number in range(7)]


def metrics() -> list:
    return [
        PNGMetric(),
        RESMetric(),
        RECMetric(),
        GRESMetric(min_presence=0.5),
        GCGMetric(encoder='exact'),
        POPEMetric(resamples=20),
        PresenceMetric(),
    ]


def evaluate_share(rank: int, folder: str) -> None:
    os.chdir(folder)  # mmengine exchanges results through files in the current folder
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=WORLD)
    samples = mixture()
    total = len(samples)
    samples += samples[: -total % WORLD]  # as mmengine's sampler fills the last round
    found = {}
    for metric in metrics():
        metric.process(None, [sample.to_dict() for sample in samples[rank::WORLD]])
        found.update(metric.evaluate(total))
    Path(folder, f'{rank}.json').write_text(json.dumps(found))
    dist.destroy_process_group()


def test_two_processes_agree_with_one(tmp_path: Path) -> None:
    mp.spawn(evaluate_share, (str(tmp_path),), nprocs=WORLD)
    expected = evaluate(metrics(), mixture())
    for rank in range(WORLD):
        assert json.loads((tmp_path / f'{rank}.json').read_text()) == pytest.approx(expected)
