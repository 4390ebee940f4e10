"""Hooks on their own; the runs in test_runs.py use them together."""

from __future__ import annotations

import json
import logging
import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from torch import nn

from flmm_plugin.engine import FrozenCheckHook, MetricsJsonHook, SeedHook
from flmm_plugin.models.weights.frozen import weights_hash


class PartlyFrozen(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.frozen, self.trained = nn.Linear(2, 2), nn.Linear(2, 2)

    def frozen_hash(self) -> str:
        return weights_hash(self.frozen)


def runner(tmp_path: Path) -> SimpleNamespace:
    return SimpleNamespace(model=PartlyFrozen(), work_dir=str(tmp_path), logger=logging.getLogger('test'), cfg=Config())


def test_frozen_check_notices_one_changed_weight(tmp_path: Path) -> None:
    run, hook = runner(tmp_path), FrozenCheckHook()
    hook.before_train(run)
    run.model.trained.weight.data += 1
    hook.after_train(run)
    run.model.frozen.weight.data[0, 0] += 1e-3
    with pytest.raises(RuntimeError, match='must stay frozen'):
        hook.after_train(run)


def test_metrics_are_written(tmp_path: Path) -> None:
    MetricsJsonHook().after_test_epoch(runner(tmp_path), {'res/concat/all_sentences/cIoU': 0.5})
    assert json.loads((tmp_path / 'metrics.json').read_text()) == {'res/concat/all_sentences/cIoU': 0.5}


def test_seeds_depend_on_the_iteration_and_on_nothing_before(tmp_path: Path) -> None:
    def draw(epoch: int, iteration: int) -> tuple[float, float, float]:
        run, hook = SimpleNamespace(seed=0, epoch=epoch, iter=iteration), SeedHook()
        hook.before_train_epoch(run)
        hook.before_train_iter(run, 0)
        return random.random(), np.random.rand(), torch.rand(()).item()

    first, second, next_epoch = draw(0, 0), draw(0, 1), draw(1, 1)
    assert draw(0, 0) == first
    assert second[:2] == first[:2] and second[2] != first[2]
    assert next_epoch[:2] != second[:2] and next_epoch[2] == second[2]
