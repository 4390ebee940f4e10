"""An epoch with the frozen parts' results on disk is the epoch without; timings are not judged."""

from __future__ import annotations

import pytest
import torch

from flmm_plugin.benchmark import epochs
from flmm_plugin.benchmark.epochs import measure_epoch, table
from flmm_plugin.datasets.scenes.writer import write_scenes
from flmm_plugin.errors import UserError
from flmm_plugin.models.lmms import FrozenLMM
from tests.tiny_checkpoint import CONFIG


@pytest.fixture(scope='module')
def options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp('scenes')
    write_scenes(folder, 6, seed=0)
    return dict(data_root=str(folder))


def test_same_losses_and_nothing_frozen_is_computed_again(
    options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    forward = FrozenLMM.read_batch
    monkeypatch.setattr(
        FrozenLMM, 'read_batch', lambda self, samples, *more: read.append(len(samples)) or forward(self, samples, *more)
    )
    result = measure_epoch(str(CONFIG), options, samples=4, repeats=2)
    row = result['epoch']
    assert row['samples'] == 4 and result['repeats'] == 2 and result['config'] == str(CONFIG)
    # Without: once for the losses and in two rounds, in batches of two. With: once each, to fill the folders.
    assert sum(read) == 4 * 3 + 4 * 2
    half, exact = row['half'], row['exact']
    # Rounding changes the first update, and that the later losses (of about 2), by as much as the weights have it.
    assert 0 < half['max_difference'] < 0.1
    assert half['mean_difference'] <= half['max_difference']
    assert exact['max_difference'] == exact['mean_difference'] == 0
    assert exact['bytes_on_disk'] > 1.5 * half['bytes_on_disk'] > 4 * 30_000
    assert half['time_vs_without'] == row['seconds']['half'] / row['seconds']['without']
    assert len(table(result).splitlines()) == 5


def test_every_epoch_starts_from_the_same_weights(options: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    losses: list[torch.Tensor] = []
    train = epochs.train
    monkeypatch.setattr(epochs, 'train', lambda *args: losses.append(train(*args)) or losses[-1])
    measure_epoch(str(CONFIG), options, samples=2, repeats=1)
    without, *again = losses[0], *losses[3:]
    assert any(torch.equal(without, other) for other in again)


def test_more_samples_than_there_are(options: dict[str, str]) -> None:
    with pytest.raises(UserError, match=r'--samples must be that or less'):
        measure_epoch(str(CONFIG), options, samples=10_000)
