"""Two processes give the metrics of one, though the samples do not divide evenly."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch.distributed as dist
import torch.multiprocessing as mp

from flmm_plugin.evaluation import PNGMetric, RESMetric
from tests.test_evaluation.test_metrics import RES, evaluate, predictions

WORLD = 2


def mixture() -> list:
    return predictions(3, 'narrative', seed=1) + predictions(4, RES, seed=2)


def metrics() -> list:
    return [PNGMetric(), RESMetric()]


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
