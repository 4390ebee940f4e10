"""The shipped tiny model with an untrained mask head, for tests of what talks: what it draws is no matter there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config

from flmm_plugin.datasets.scenes import render, sample_scene
from flmm_plugin.models.presence import SIGNALS, PresenceRules
from flmm_plugin.models.presence.rules import presence_path
from flmm_plugin.registry import MODELS

PROMPT, QUESTION = 'Describe the image.', 'Is there {phrase}?'
CONFIG = Path(__file__).resolve().parents[1] / 'configs/tiny/flmm_tiny_scenes.py'


def save_checkpoint(folder: Path) -> Path:
    """Write a checkpoint of the tiny config."""
    path = folder / 'flmm.pth'
    torch.manual_seed(0)
    torch.save({'state_dict': MODELS.build(Config.fromfile(CONFIG).model).state_dict(), 'meta': {}}, path)
    return path


def save_presence(checkpoint: Path) -> None:
    """Write a presence rule to which every signal matters beside a checkpoint."""
    rng = np.random.default_rng(0)
    signals = rng.normal(size=(400, len(SIGNALS))) * 3
    there = signals.sum(1) + rng.normal(size=400) > 0
    PresenceRules.fit(signals, there, PROMPT, QUESTION).save(presence_path(checkpoint))


def draw_scene(index: int) -> np.ndarray:
    """A scene (192, 192, 3) uint8 RGB."""
    return render(sample_scene(np.random.default_rng([7, index])))[0]
