"""What ResumableEpochLoop passes over; test_resume.py uses it in a run."""

from __future__ import annotations

from types import SimpleNamespace

from mmengine.logging import MessageHub

from flmm_plugin.engine import ResumableEpochLoop


def loop(batches: int, epoch: int, iteration: int, hub: MessageHub) -> ResumableEpochLoop:
    """A loop as it is when a checkpoint has been loaded."""
    made = ResumableEpochLoop.__new__(ResumableEpochLoop)
    made._runner, made.dataloader = SimpleNamespace(message_hub=hub, cfg={}, param_schedulers=None), range(batches)
    made._epoch, made._iter = epoch, iteration
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
