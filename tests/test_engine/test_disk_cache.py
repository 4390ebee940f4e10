"""The room that caches will take is in the log before training."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flmm_plugin.engine import DiskCacheHook
from flmm_plugin.registry import MODELS
from tests.tiny_flmm import four_samples, tiny_flmm, tiny_refiner
from tests.tiny_lmms import FAMILIES


@pytest.fixture(scope='module')
def lmm_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return FAMILIES['llava'][0](tmp_path_factory.mktemp('llava'))


def messages(model: Any, caplog: pytest.LogCaptureFixture, validation: bool = True) -> list[str]:
    packed = [dict(inputs=image, data_samples=sample) for image, sample in zip(*four_samples(), strict=True)]
    loaders = [SimpleNamespace(dataset=packed * times) for times in (250, 50)]
    run = SimpleNamespace(
        model=model,
        train_dataloader=loaders[0],
        val_loop=object() if validation else None,
        val_dataloader=loaders[1],
        logger=logging.getLogger('caches'),
    )
    caplog.clear()
    with caplog.at_level('INFO', 'caches'):
        DiskCacheHook().before_train(run)
    return caplog.messages


def test_sizes_are_said_before_training(lmm_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lmm = dict(type='LlavaLMM', pretrained=str(lmm_dir), map_folder=str(tmp_path / 'maps'))
    refiner = tiny_refiner(feature_folder=str(tmp_path / 'features'))
    model = MODELS.build(tiny_flmm('', lmm=lmm, refiner=refiner))
    features, maps, *validation = messages(model, caplog)
    assert str(tmp_path / 'features') in features and '0.00 MB an image' in features
    assert str(tmp_path / 'maps') in maps and '1000 training samples' in maps
    assert len(validation) == 2 and all('200 validation samples' in message for message in validation)
    assert len(messages(model, caplog, validation=False)) == 2


def test_nothing_is_said_without_caches(lmm_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert messages(MODELS.build(tiny_flmm(lmm_dir)), caplog) == []
    assert messages(MODELS.build(tiny_flmm(lmm_dir, refiner=None)), caplog) == []
