"""A preset and a config name a model, and build it wherever they are sent."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from flmm_plugin.benchmark.subject import ConfigSubject, PresetSubject, Subject
from flmm_plugin.errors import UserError
from flmm_plugin.models.weights.frozen import weights_hash
from flmm_plugin.registry import MODELS
from tests.test_benchmark.conftest import WriteConfig
from tests.tiny_checkpoint import CONFIG
from tests.tiny_flmm import tiny_refiner


@pytest.mark.parametrize('subject', [PresetSubject('tiny'), ConfigSubject(str(CONFIG))])
def test_what_arrives_in_another_process_builds_the_same(subject: Subject) -> None:
    (length,) = subject.lengths([300], 2)
    sent = pickle.dumps(subject)
    assert len(sent) < 1000  # no weights
    arrived = pickle.loads(sent)
    assert arrived == subject and arrived.about == subject.about
    ours, theirs = subject.model(length, 2), arrived.model(length, 2)
    assert weights_hash(ours) == weights_hash(theirs) and ours.frozen_hash() == theirs.frozen_hash()


def test_config_s_own_lmm_and_refiner() -> None:
    subject, expected = ConfigSubject(str(CONFIG)), MODELS.build(Config.fromfile(CONFIG).model)
    assert subject.about == dict(config=str(CONFIG), layers=4, dtype='float32')
    assert subject.lmm(0, 0).weights_hash() == expected.lmm.weights_hash()
    assert weights_hash(subject.refiner()) == weights_hash(expected.sam)
    model = subject.model(0, 0)
    assert model.frozen_hash() == expected.frozen_hash()
    assert (model.targets, model.refined_weight) == ('image', 0.2)
    assert type(subject.mask_head(model.lmm)) is type(expected.mask_head)


def test_dtype_of_a_config(write_config: WriteConfig) -> None:
    subject = write_config(options=dict(dtype='bfloat16'))
    assert subject.about['dtype'] == 'bfloat16' and subject.lmm(0, 0).model.dtype == torch.bfloat16
    half = ConfigSubject(subject.config, dtype='float16')
    assert half.about['dtype'] == 'float16' and half.lmm(0, 0).model.dtype == torch.float16


def test_what_is_kept_on_disk_is_computed_nonetheless(write_config: WriteConfig, tmp_path: Path) -> None:
    maps, features = str(tmp_path / 'maps'), str(tmp_path / 'features')
    subject = write_config(options=dict(map_folder=maps), refiner=tiny_refiner(feature_folder=features))
    model = subject.model(0, 0)
    assert model.sam is not None and model.lmm.map_cache is None and model.sam.image_features.cache.folder is None
    assert subject.lmm(0, 0).map_cache is None and subject.refiner().image_features.cache.folder is None


def test_lengths_of_a_preset() -> None:
    assert PresetSubject('tiny').lengths(None, 6) == [700, 1500, 3000]
    assert PresetSubject('tiny').lengths([90], 6) == [90]
    with pytest.raises(UserError, match='34 tokens have no room'):
        PresetSubject('tiny').lengths([700, 34], 6)


def test_lengths_of_a_config(write_config: WriteConfig) -> None:
    subject = write_config()  # an image of 12 x 12 tokens
    assert subject.lengths(None, 6) == [144 + 64]
    assert subject.lengths(None, 20) == [144 + 4 + 20 * 5]
    assert subject.lengths([200, 178], 6) == [200, 178]
    with pytest.raises(UserError, match=r'177 tokens have no room .* --tokens must be at least 178 here'):
        subject.lengths([200, 177], 6)


def test_what_a_config_lacks(write_config: WriteConfig, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r'tiny\.py has no refiner'):
        write_config(refiner=None).refiner()
    with pytest.raises(UserError, match=r'tiny\.py has no losses .* loss_mask and loss_dice'):
        write_config(loss_mask=None).model(0, 0)
    path = tmp_path / 'detector.py'
    path.write_text("model = dict(type='mmdet.MaskRCNN')\n")
    with pytest.raises(UserError, match=r'detector\.py describes no grounding model'):
        ConfigSubject(str(path)).lengths(None, 6)
