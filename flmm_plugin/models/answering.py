"""Grounding what the LMM answers: the tokens that it generates are the phrase.

Shape shorthand: M generated tokens that are looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from flmm_plugin.errors import UserError
from flmm_plugin.models.capture.positions import KeptTokens
from flmm_plugin.models.flmm import FLMM
from flmm_plugin.models.groundings import prepare_sample, write_predictions
from flmm_plugin.models.lmms.base import FrozenLMM
from flmm_plugin.registry import MODELS
from flmm_plugin.structures import LMMInputs, LMMOutputs

MAX_TOKENS = 16


@dataclass(frozen=True)
class Answer:
    """``text``, without what it was made to begin with; ``inputs`` and ``outputs``: its M tokens are phrase 0."""

    text: str
    inputs: LMMInputs
    outputs: LMMOutputs


@torch.no_grad()
def answer_and_look(lmm: FrozenLMM, asked: LMMInputs, *, max_tokens: int = MAX_TOKENS, **options: Any) -> Answer:
    """Let the LMM answer what it was ``asked``, greedily, and see what its answer attends to.

    A token is looked at when it is read, to generate the next one. So the last token that is generated, which ends the
    answer or would be one too many, is none of the answer's, unless it is the only one (``reason_seg`` and
    ``visual_cot_v1`` of the authors' code).

    Args:
        max_tokens: how many tokens are looked at, at most.
        options: further ones of ``generate``.

    Raises:
        UserError: the LMM wrote its image token.
    """
    length, past = len(asked.input_ids), KeptTokens()
    options = dict(do_sample=False, use_cache=True, cache_implementation=None, **options)
    sequence = lmm.answer(asked, past, max_new_tokens=max_tokens + 1, **options)
    generated = sequence[0, length:].tolist()
    ids = generated[:-1] or generated
    if lmm.image_token_id in ids:
        raise UserError('the LMM wrote its image token in its answer, where no image is')
    inputs = asked.follow(ids, torch.zeros(len(ids), dtype=torch.long))
    outputs = lmm.forward_cached(inputs, past, length)
    return Answer(lmm.processor.tokenizer.decode(ids, skip_special_tokens=True).strip(), inputs, outputs)


@MODELS.register_module()
class AnsweringFLMM(FLMM):
    """An :class:`FLMM` that grounds its own answers, in tests: to each ``prompt`` whose answer is to ``begin`` somehow.

    Args:
        max_tokens: of an answer.
        arguments: those of :class:`FLMM`.
    """

    def __init__(self, *, max_tokens: int = MAX_TOKENS, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.max_tokens = max_tokens

    @torch.no_grad()
    def predict(self, images: Sequence[Tensor], data_samples: Sequence[BaseDataElement]) -> list[BaseDataElement]:
        """As :meth:`FLMM.predict`; a sample with ``begin`` has one phrase, its ``answer``."""
        for asked in (False, True):
            of_kind = [at for at, sample in enumerate(data_samples) if ('begin' in sample) == asked]
            if of_kind:
                predict = self.answer if asked else super().predict
                predict([images[at] for at in of_kind], [data_samples[at] for at in of_kind])
        return list(data_samples)

    def answer(self, images: Sequence[Tensor], data_samples: Sequence[BaseDataElement]) -> None:
        """Let the LMM answer each sample's ``prompt`` and ground its answer."""
        answers = [
            answer_and_look(self.lmm, prepare_sample(self.lmm, image, sample), max_tokens=self.max_tokens)
            for image, sample in zip(images, data_samples, strict=True)
        ]
        groundings = self.ground_batch(images, [a.inputs for a in answers], [a.outputs for a in answers])
        for image, sample, answer, grounding in zip(images, data_samples, answers, groundings, strict=True):
            sample.set_field(answer.text, 'answer')
            write_predictions(sample, image, answer.inputs, answer.outputs, grounding, [answer.text])
