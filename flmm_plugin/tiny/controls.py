"""LMMs that have learned less than the shipped one: what grounding owes to the LMM shows against them."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoProcessor, LlavaForConditionalGeneration

from flmm_plugin.assets import resolve

TINY_LMM = 'flmm_plugin::tiny_llava'


def save_untrained(folder: Path, seed: int) -> None:
    """The tiny LMM with random weights throughout."""
    _save(_random_twin(seed), folder)


def save_random_language(folder: Path, seed: int) -> None:
    """The tiny LMM's trained vision tower and projector under a language model with random weights."""
    trained = LlavaForConditionalGeneration.from_pretrained(resolve(TINY_LMM))
    random = _random_twin(seed)
    random.model.vision_tower = trained.model.vision_tower
    random.model.multi_modal_projector = trained.model.multi_modal_projector
    _save(random, folder)


def _random_twin(seed: int) -> LlavaForConditionalGeneration:
    torch.manual_seed(seed)
    return LlavaForConditionalGeneration(LlavaForConditionalGeneration.config_class.from_pretrained(resolve(TINY_LMM)))


def _save(model: LlavaForConditionalGeneration, folder: Path) -> None:
    model.save_pretrained(folder)
    AutoProcessor.from_pretrained(resolve(TINY_LMM)).save_pretrained(folder)
