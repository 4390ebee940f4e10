"""What is measured: the model of a preset or of a config."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from mmengine.registry import init_default_scope
from torch import nn

from flmm_plugin.benchmark.inputs import TEXT_TOKENS, check_room, image_tokens, text_tokens
from flmm_plugin.benchmark.presets import MASK_HEADS, PRESETS, SAM, TOKENS, RandomLlava, grid_for, preset_for
from flmm_plugin.benchmark.random_qwen import RandomQwen
from flmm_plugin.engine.config import load_config
from flmm_plugin.errors import UserError
from flmm_plugin.models.flmm import FLMM
from flmm_plugin.models.lmms import FrozenLMM
from flmm_plugin.models.refiners import SAMRefiner
from flmm_plugin.registry import MODELS

LMMS = {'llava': RandomLlava, 'qwen2.5-vl': RandomQwen}


@dataclass(frozen=True, kw_only=True)
class Subject(ABC):
    """Names a model, and builds it or parts of it. It can be sent to another process, which builds its own.

    ``device``: where the parts are put. ``dtype``: the LMM's, by torch's name; None for the one it comes in.
    """

    device: str = 'cpu'
    dtype: str | None = None

    @property
    @abstractmethod
    def about(self) -> dict[str, Any]:
        """What the result says of it: ``preset`` or ``config``, and the ``layers`` and ``dtype`` of the LMM."""

    @property
    @abstractmethod
    def parts(self) -> dict[str, Any]:
        """The config of the FLMM, without its LMM."""

    @abstractmethod
    def lmm_config(self, tokens: int, phrases: int) -> dict[str, Any]:
        """The config of the LMM for sequences of ``tokens`` tokens with so many phrases."""

    @abstractmethod
    def lengths(self, tokens: Sequence[int] | None, phrases: int) -> list[int]:
        """The lengths asked for, by default those that suit the LMM.

        Raises:
            UserError: one of them cannot be measured; it is said before minutes go by on the others.
        """

    def lmm(self, tokens: int, phrases: int) -> FrozenLMM:
        return MODELS.build(self.lmm_config(tokens, phrases)).to(self.device)

    def mask_head(self, lmm: FrozenLMM) -> nn.Module:
        """The mask head on the maps of that LMM."""
        torch.manual_seed(0)
        return MODELS.build({**self.parts['mask_head'], 'in_channels': lmm.num_maps}).to(self.device)

    def refiner(self) -> SAMRefiner:
        config = self.parts.get('refiner')
        if config is None:
            raise UserError(
                f'{self} has no refiner, which is a part of what is measured here: measure `extract` or `train`'
            )
        torch.manual_seed(0)
        return MODELS.build(config).to(self.device)

    def model(self, tokens: int, phrases: int) -> FLMM:
        """The whole, to be trained."""
        torch.manual_seed(0)
        model = MODELS.build({**self.parts, 'lmm': self.lmm_config(tokens, phrases)}).to(self.device)
        if model.losses is None:
            raise UserError(f'{self} has no losses to train with: give loss_mask and loss_dice in `model`')
        return model


@dataclass(frozen=True)
class PresetSubject(Subject):
    """An LMM with random weights, whose image takes what the text leaves of a sequence.

    ``layers``: of the language model, the preset's own by default.
    """

    preset: str
    layers: int | None = None

    def __str__(self) -> str:
        return f'the preset {self.preset}'

    @property
    def about(self) -> dict[str, Any]:
        own = PRESETS[self.preset]
        return dict(preset=self.preset, layers=self.layers or own.layers, dtype=self.dtype or own.dtype)

    @property
    def parts(self) -> dict[str, Any]:
        return dict(
            type='FLMM',
            mask_head=dict(type='UNetMaskHead', **MASK_HEADS[self.preset]),
            refiner=dict(type='SAMRefiner', arch=SAM[self.preset]),
            loss_mask=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True),
            loss_dice=dict(type='mmdet.DiceLoss', use_sigmoid=True, naive_dice=True, eps=1.0),
        )

    def lmm_config(self, tokens: int, phrases: int) -> dict[str, Any]:
        return dict(
            type=LMMS[PRESETS[self.preset].family],
            preset=replace(preset_for(self.preset, self.device), layers=self.about['layers']),
            grid=grid_for(tokens, phrases),
            dtype=getattr(torch, self.about['dtype']),
            device=self.device,
        )

    def lengths(self, tokens: Sequence[int] | None, phrases: int) -> list[int]:
        lengths = list(tokens or TOKENS)
        for length in lengths:
            self.lmm_config(length, phrases)
        return lengths


@dataclass(frozen=True)
class ConfigSubject(Subject):
    """The model of a config file, with the weights that it names."""

    config: str

    def __str__(self) -> str:
        return self.config

    @property
    def about(self) -> dict[str, Any]:
        _, layers, dtype = self._facts
        return dict(config=self.config, layers=layers, dtype=self.dtype or dtype)

    @property
    def parts(self) -> dict[str, Any]:
        parts = {name: value for name, value in self._model.items() if name != 'lmm'}
        if parts.get('refiner') is not None:
            parts['refiner'] = computed(parts['refiner'], 'feature_folder')
        return parts

    def lmm_config(self, tokens: int = 0, phrases: int = 0) -> dict[str, Any]:
        """The same whatever the length."""
        dtype = {} if self.dtype is None else {'dtype': self.dtype}
        return {**computed(self._model['lmm'], 'map_folder'), **dtype}

    def lengths(self, tokens: Sequence[int] | None, phrases: int) -> list[int]:
        image = self._facts[0]
        lengths = list(tokens or [image + max(text_tokens(phrases), TEXT_TOKENS)])
        for length in lengths:
            check_room(length, phrases, image)
        return lengths

    @property
    def _model(self) -> dict[str, Any]:
        config = load_config(self.config)
        init_default_scope(config.get('default_scope', 'flmm_plugin'))
        model = config.get('model', {})
        if not {'lmm', 'mask_head'} <= set(model):
            raise UserError(f'{self.config} describes no grounding model: `model` has no lmm or no mask_head')
        return model

    @cached_property
    def _facts(self) -> tuple[int, int, str]:
        """The tokens of an image, the layers and the dtype of the LMM, which is loaded once for them alone."""
        lmm = MODELS.build(self.lmm_config())
        return image_tokens(lmm), lmm.num_layers, str(lmm.model.dtype).removeprefix('torch.')


def computed(config: dict[str, Any], folder: str) -> dict[str, Any]:
    """The config without its ``folder`` of results: what is measured is their computation."""
    return {name: value for name, value in config.items() if name != folder}
