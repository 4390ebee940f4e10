"""A model with nothing to train: what it gives, and what does not go with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from flmm_plugin.apis import FLMMInferencer
from flmm_plugin.datasets.scenes import write_scenes
from flmm_plugin.models.weights.trained_state import CheckpointError
from flmm_plugin.models.weights.untrained import TrainingError
from flmm_plugin.registry import MODELS
from tests.tiny_checkpoint import CONFIG as TRAINED
from tests.tiny_checkpoint import draw_scene

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/tiny/attention_tiny_scenes.py'


@pytest.fixture(scope='module')
def model() -> torch.nn.Module:
    return MODELS.build(Config.fromfile(CONFIG).model)


def test_nothing_is_trained_saved_or_loaded(model: torch.nn.Module) -> None:
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert model.state_dict() == {}
    with pytest.raises(CheckpointError, match='nothing of this model is trained'):
        model.load_state_dict({'mask_head.conv_seg.bias': torch.zeros(1)})


def test_inferencer_needs_no_checkpoint() -> None:
    ask = FLMMInferencer(CONFIG, device='cpu')
    answer = ask(draw_scene(0), 'Describe the image.')
    assert answer.grounded and all(phrase.mask.any() for phrase in answer.grounded)


def test_wrong_use_is_said(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match='no checkpoint belongs to it'):
        FLMMInferencer(CONFIG, tmp_path / 'some.pth')
    for nothing in (None, 'none'):
        with pytest.raises(TrainingError, match='points at nothing without'):
            FLMMInferencer(TRAINED, nothing)
    config = Config.fromfile(CONFIG).model
    with pytest.raises(TrainingError, match='a text prompt has to be trained'):
        MODELS.build({**config, 'refiner': {**config.refiner, 'prompts': ['box', 'text']}})


def run(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, 'OMP_NUM_THREADS': '1'}
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, env=environment)


def test_tools_know_it(tmp_path: Path) -> None:
    write_scenes(tmp_path / 'scenes', 4, seed=3, fractions=(0, 1, 0))
    options = ('--work-dir', str(tmp_path / 'work'), '--cfg-options', f'data_root={tmp_path / "scenes"}')
    config = str(CONFIG.relative_to(ROOT))
    done = run('tools/test.py', config, 'none', *options)
    assert done.returncode == 0, done.stderr
    assert 'no checkpoint, nothing trained takes part' in done.stdout + done.stderr
    metrics = json.loads((tmp_path / 'work/metrics.json').read_text())
    assert metrics['png/narrative/mIoU_thing'] > 0.5
    refused = run('tools/train.py', config, *options)
    assert refused.returncode == 1 and 'nothing to train' in refused.stderr
