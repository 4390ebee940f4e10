"""Asking the frozen LMM questions in a test run: what it answers is its own ``generate``, untouched by grounding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from flmm_plugin.models.flmm import FLMM
from flmm_plugin.registry import MODELS


@MODELS.register_module()
class AskingFLMM(FLMM):
    """An :class:`FLMM` whose predictions are answers.

    Args:
        max_new_tokens: of an answer.
        arguments: those of :class:`FLMM`.
    """

    def __init__(self, *, max_new_tokens: int = 16, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.max_new_tokens = max_new_tokens

    @torch.no_grad()
    def predict(self, images: Sequence[Tensor], data_samples: Sequence[BaseDataElement]) -> list[BaseDataElement]:
        """Set ``answer``, the LMM's greedy answer to each sample's ``prompt``."""
        for image, sample in zip(images, data_samples, strict=True):
            _, answer = self.lmm.generate(image, sample.prompt, self.max_new_tokens)
            sample.set_field(answer, 'answer')
        return list(data_samples)
