"""Hooks on their own; the runs in test_runs.py use them together."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
from torch import nn

from flmm_plugin.engine import FrozenCheckHook, MetricsJsonHook
from flmm_plugin.models.frozen import weights_hash


class PartlyFrozen(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.frozen, self.trained = nn.Linear(2, 2), nn.Linear(2, 2)

    def frozen_hash(self) -> str:
        return weights_hash(self.frozen)


def runner(tmp_path: Path) -> SimpleNamespace:
    return SimpleNamespace(model=PartlyFrozen(), work_dir=str(tmp_path), logger=logging.getLogger('test'))


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
