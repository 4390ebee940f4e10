"""One call from an image and a question to a grounded answer."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from flmm_plugin.apis import FLMMInferencer
from flmm_plugin.apis.inferencer import read_image
from flmm_plugin.datasets.scenes import render, sample_scene
from flmm_plugin.errors import UserError
from flmm_plugin.registry import MODELS

CONFIG = Path(__file__).resolve().parents[2] / 'configs/tiny/flmm_tiny_scenes.py'


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained mask head: what it draws is no matter here."""
    path = tmp_path_factory.mktemp('flmm') / 'flmm.pth'
    torch.manual_seed(0)
    torch.save({'state_dict': MODELS.build(Config.fromfile(CONFIG).model).state_dict(), 'meta': {}}, path)
    return path


@pytest.fixture(scope='module')
def scene() -> np.ndarray:
    return render(sample_scene(np.random.default_rng([7, 1])))[0]


def test_answer_phrases_and_masks_fit_together(checkpoint, scene, tmp_path):
    ask = FLMMInferencer(CONFIG, checkpoint, device='cpu')
    result = ask(scene, 'Describe the image.')
    assert len(result.phrases) >= 3
    for phrase in result.phrases:
        assert result.answer[phrase.start : phrase.end] == phrase.text
        assert phrase.mask.shape == (192, 192) and phrase.mask.dtype == bool
    Image.fromarray(scene).save(tmp_path / 'scene.png')
    for same in (tmp_path / 'scene.png', Image.fromarray(scene)):
        again = ask(same, 'Describe the image.')
        assert again.answer == result.answer
        assert all((a.mask == b.mask).all() for a, b in zip(again.phrases, result.phrases, strict=True))


def test_an_answer_without_phrases_grounds_nothing(checkpoint, scene):
    result = FLMMInferencer(CONFIG, checkpoint, device='cpu')(scene, 'How many things are there?')
    assert result.phrases == [] and result.answer


def test_missing_checkpoint_is_named():
    with pytest.raises(UserError, match=r'nowhere\.pth'):
        FLMMInferencer(CONFIG, 'nowhere.pth')


def test_photos_are_turned_as_their_exif_data_say(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    Image.new('L', (30, 20)).save(tmp_path / 'photo.jpg', exif=exif)
    assert read_image(tmp_path / 'photo.jpg').shape == (3, 30, 20)


def test_arrays_must_be_rgb():
    with pytest.raises(ValueError, match='uint8 RGB'):
        read_image(np.zeros((4, 4), np.uint8))
