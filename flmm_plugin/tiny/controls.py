"""LMMs that have learned less than a shipped one: what grounding owes to the LMM shows against them."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, PreTrainedModel

from flmm_plugin.assets import resolve

TINY_LMM = 'flmm_plugin::tiny_llava'


def save_untrained(folder: Path, seed: int, trained: str = TINY_LMM) -> None:
    """``trained`` with random weights throughout."""
    _save(_random_twin(trained, seed), folder, trained)


def save_random_language(folder: Path, seed: int, trained: str = TINY_LMM) -> None:
    """The vision tower of ``trained``, and what leads from there, under a language model with random weights."""
    twin = _random_twin(trained, seed)
    learned = AutoModelForImageTextToText.from_pretrained(resolve(trained)).state_dict()
    seen = {name: w for name, w in learned.items() if 'language_model' not in name and 'lm_head' not in name}
    twin.load_state_dict(seen, strict=False)
    _save(twin, folder, trained)


def _random_twin(trained: str, seed: int) -> PreTrainedModel:
    torch.manual_seed(seed)
    return AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(resolve(trained)))


def _save(model: PreTrainedModel, folder: Path, trained: str) -> None:
    model.save_pretrained(folder)
    AutoProcessor.from_pretrained(resolve(trained)).save_pretrained(folder)
