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
    forward = FrozenLMM._forward
    monkeypatch.setattr(
        FrozenLMM, '_forward', lambda self, samples, *more: read.append(len(samples)) or forward(self, samples, *more)
    )
    result = measure_epoch(str(CONFIG), options, samples=4, repeats=2)
    row = result['epoch']
    assert row['samples'] == 4 and result['repeats'] == 2 and result['config'] == str(CONFIG)
    # Without: once for the losses and in two rounds, in batches of two. With: once, to fill the folder.
    assert sum(read) == 4 * 3 + 4
    assert 0 < row['max_difference'] < 1e-2  # rounding changes the updates, and those the later losses
    assert row['bytes_on_disk'] > 4 * 20_000
    assert row['time_vs_without'] == row['seconds']['with'] / row['seconds']['without']
    assert len(table(result).splitlines()) == 3


def test_every_epoch_starts_from_the_same_weights(options: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    losses: list[torch.Tensor] = []
    train = epochs.train
    monkeypatch.setattr(epochs, 'train', lambda *args: losses.append(train(*args)) or losses[-1])
    measure_epoch(str(CONFIG), options, samples=2, repeats=1)
    without, _, *again = losses
    assert any(torch.equal(without, other) for other in again)


def test_more_samples_than_there_are(options: dict[str, str]) -> None:
    with pytest.raises(UserError, match=r'--samples must be that or less'):
        measure_epoch(str(CONFIG), options, samples=10_000)
