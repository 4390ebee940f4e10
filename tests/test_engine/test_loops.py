"""What ResumableEpochLoop passes over, and how a run goes on with another batch size; test_resume.py uses it too."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.runner import Runner

from flmm_plugin.engine import ResumableEpochLoop
from tests.test_engine.test_resuming_elsewhere import SIZE, Line, Numbers


def loop(batches: int, epoch: int, iteration: int, hub: MessageHub) -> ResumableEpochLoop:
    """A loop as it is when a checkpoint has been loaded."""
    made = ResumableEpochLoop.__new__(ResumableEpochLoop)
    wrapper = SimpleNamespace(initialize_count_status=lambda *counts: None)
    runner = SimpleNamespace(message_hub=hub, param_schedulers=None, model=None, optim_wrapper=wrapper)
    made._runner, made.dataloader, made._schedules = runner, range(batches), None
    made._epoch, made._iter, made._max_iters = epoch, iteration, 3 * batches
    return made


def test_batches_of_the_interrupted_epoch_are_passed_over() -> None:
    hub = MessageHub('one batch size')
    assert loop(8, 0, 0, hub)._batches_done() == 0
    assert loop(8, 1, 12, hub)._batches_done() == 4
    assert loop(8, 1, 16, hub)._batches_done() == 8  # saved at the very end of an epoch
    assert loop(8, 2, 16, hub)._batches_done() == 0


def test_another_batch_size_begins_the_epoch_anew() -> None:
    hub = MessageHub('another batch size')
    loop(16, 1, 24, hub)._batches_done()
    changed = loop(8, 1, 24, hub)
    assert changed._batches_done() == 0 and changed.iter == 8


class Rates(Hook):
    def __init__(self) -> None:
        self.told: list[float] = []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        self.told.append(runner.optim_wrapper.param_groups[0]['lr'])


EPOCHS = 3


def train(folder: Path, batch_size: int, epochs: int, schedule: dict[str, Any]) -> tuple[list[float], Runner]:
    """Train until the end of so many epochs of 3, on from the folder's checkpoint; the rates, and the runner."""

    class Stop(Hook):
        def after_train_epoch(self, runner: Runner) -> None:
            runner.train_loop.stop_training = runner.epoch + 1 == epochs

    rates = Rates()
    runner = Runner(
        model=Line(),
        work_dir=str(folder),
        train_dataloader=dict(
            batch_size=batch_size,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=True),
            dataset=Numbers(),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(type='flmm_plugin.ResumableEpochLoop', max_epochs=EPOCHS),
        optim_wrapper=dict(type='flmm_plugin.OptimWrapper', optimizer=dict(type='SGD', lr=1e-4), accumulative_counts=2),
        param_scheduler=[schedule],
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1), logger=None),
        custom_hooks=[rates, Stop()],
        resume=(folder / 'last_checkpoint').is_file(),
        experiment_name=f'{folder.name}_{epochs}',
        log_level='ERROR',
    )
    runner.train()
    return rates.told, runner


@pytest.mark.parametrize(
    'schedule',
    [
        dict(type='CosineAnnealingLR', T_max=EPOCHS * 10, by_epoch=False),
        dict(type='OneCycleLR', eta_max=1e-2, total_steps=EPOCHS * 10, by_epoch=False),
    ],
    ids=lambda schedule: schedule['type'],
)
def test_fewer_batches_and_more_in_a_run(schedule: dict[str, Any], tmp_path: Path) -> None:
    """Of 3 samples, then of 10, then of 2 each, gathered by two: the schedule of a run on batches of 2 is reached."""
    for epoch, batch_size in enumerate((3, 10, 2), 1):
        told, runner = train(tmp_path / 'changed', batch_size, epoch, schedule)
    length = 'T_max' if 'T_max' in schedule else 'total_steps'
    whole, _ = train(tmp_path / 'whole', 2, EPOCHS, {**schedule, length: EPOCHS * SIZE // 2})
    assert told == pytest.approx(whole[-SIZE // 2 :], rel=1e-5)
    counts = runner.optim_wrapper
    assert counts._inner_count == counts._max_counts == EPOCHS * SIZE // 2 and runner.model.slope.grad is None
    assert torch.isfinite(runner.model.slope)
