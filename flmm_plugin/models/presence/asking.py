"""Asking the frozen LMM questions in a test run: what it answers is its own ``generate``, untouched by grounding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from flmm_plugin.errors import naming
from flmm_plugin.models.flmm import FLMM
from flmm_plugin.models.presence.estimates import lone_signals
from flmm_plugin.models.presence.signals import SIGNALS
from flmm_plugin.registry import MODELS


@MODELS.register_module()
class AskingFLMM(FLMM):
    """An :class:`FLMM` whose predictions are answers and, with a presence rule (``PresenceRuleHook``), how sure it is
    that what is asked for is there.

    Args:
        max_new_tokens: of an answer; 0 to ask for presence alone.
        arguments: those of :class:`FLMM`.
    """

    def __init__(self, *, max_new_tokens: int = 16, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.max_new_tokens = max_new_tokens

    @torch.no_grad()
    def predict(self, images: Sequence[Tensor], data_samples: Sequence[BaseDataElement]) -> list[BaseDataElement]:
        """Set ``answer``, the LMM's greedy answer to each sample's ``prompt``, and, of samples with a ``phrase``,
        ``presence`` in [0, 1] and its ``signals``, a dict."""
        if self.max_new_tokens:
            for image, sample in zip(images, data_samples, strict=True):
                with naming(f'sample {sample.get("sample_id", "without a name")}'):
                    sample.set_field(self.lmm.generate(image, sample.prompt, self.max_new_tokens)[1], 'answer')
        if self.presence is not None:
            named = [index for index, sample in enumerate(data_samples) if sample.phrase]
            about = [images[index] for index in named], [data_samples[index].phrase for index in named]
            signals = lone_signals(self, *about, self.presence.prompt, self.presence_question)
            presence = self.presence(signals.double().numpy(), self.ask_presence)
            for index, probability, own in zip(named, presence, signals, strict=True):
                data_samples[index].set_field(float(probability), 'presence')
                data_samples[index].set_field(dict(zip(SIGNALS, own.tolist(), strict=True)), 'signals')
        return list(data_samples)
