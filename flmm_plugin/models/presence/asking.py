"""Asking the frozen LMM questions in a test run: what it answers is its own ``generate``, untouched by grounding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from flmm_plugin.models.flmm import FLMM
from flmm_plugin.models.presence.rule import PresenceRule
from flmm_plugin.models.presence.signals import SIGNALS, presence_signals
from flmm_plugin.registry import MODELS


@MODELS.register_module()
class AskingFLMM(FLMM):
    """An :class:`FLMM` whose predictions are answers, and how sure it is that what is asked for is there.

    ``rule``: the :class:`PresenceRule`, which ``PresenceRuleHook`` sets before a test.

    Args:
        max_new_tokens: of an answer; 0 to ask for presence alone.
        presence_prompt: what phrases are read as the answer to; with it presence is computed.
        presence_question: how to ask for a phrase, with ``{phrase}`` in it; without it no question is asked, which
            saves a pass.
        arguments: those of :class:`FLMM`.
    """

    rule: PresenceRule | None = None

    def __init__(
        self,
        *,
        max_new_tokens: int = 16,
        presence_prompt: str | None = None,
        presence_question: str | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self.max_new_tokens = max_new_tokens
        self.presence_prompt, self.presence_question = presence_prompt, presence_question

    @torch.no_grad()
    def predict(self, images: Sequence[Tensor], data_samples: Sequence[BaseDataElement]) -> list[BaseDataElement]:
        """Set ``answer``, the LMM's greedy answer to each sample's ``prompt``, and, of samples with a ``phrase``,
        ``presence`` in [0, 1] and its ``signals``, a dict."""
        if self.max_new_tokens:
            for image, sample in zip(images, data_samples, strict=True):
                sample.set_field(self.lmm.generate(image, sample.prompt, self.max_new_tokens)[1], 'answer')
        if self.rule is not None:
            asked = [index for index, sample in enumerate(data_samples) if sample.phrase]
            signals = self.signals([images[i] for i in asked], [data_samples[i].phrase for i in asked])
            for index, own, presence in zip(asked, signals, self.rule(signals.double().numpy()), strict=True):
                data_samples[index].set_field(float(presence), 'presence')
                data_samples[index].set_field(dict(zip(SIGNALS, own.tolist(), strict=True)), 'signals')
        return list(data_samples)

    def signals(self, images: Sequence[Tensor], phrases: Sequence[str]) -> Tensor:
        """(P, S) of one phrase an image, see :func:`presence_signals`."""
        if not phrases:
            return torch.zeros(0, len(SIGNALS))
        question = self.presence_question or '{phrase}'
        ask = self.presence_question is not None
        return presence_signals(self, images, phrases, self.presence_prompt or '', question, ask)
