"""Presence of phrases that a model has grounded, by its rules.

Shape shorthand: P phrases, S signals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from flmm_plugin.models.groundings import Grounding
from flmm_plugin.models.numbers import check_lmm_numbers
from flmm_plugin.models.presence.questions import ask_all, ask_for
from flmm_plugin.models.presence.signals import SIGNALS, presence_signals
from flmm_plugin.structures import LMMInputs, LMMOutputs, Segment


def asked_margins(
    lmm: Any, images: Sequence[Tensor], phrases: Sequence[Sequence[str]], question: str | None
) -> list[Tensor | None]:
    """Of each uint8 image (3, H, W) the (P,) log odds that its phrases are there, as the LMM answers; None without a
    ``question``, or phrases."""
    margins: list[Tensor | None] = [None] * len(images)
    chosen = [index for index, own in enumerate(phrases) if own] if question is not None else []
    if chosen and question is not None:
        asked = [[ask_for(question, phrase) for phrase in phrases[index]] for index in chosen]
        for index, own in zip(chosen, ask_all(lmm, [images[i] for i in chosen], asked), strict=True):
            margins[index] = own
    return margins


def estimate(model: Any, inputs: LMMInputs, outputs: LMMOutputs, grounding: Grounding, asked: Tensor | None) -> Tensor:
    """(P,) fp32 probabilities of an image's phrases, on the CPU."""
    signals = presence_signals(model.lmm, inputs, outputs, grounding, asked)
    rules = model.presence.suited(inputs)
    return torch.from_numpy(rules(signals.double().numpy(), model.ask_presence)).float()


def set_presence(
    model: Any,
    images: Sequence[Tensor],
    samples: Sequence[BaseDataElement],
    inputs: Sequence[LMMInputs],
    outputs: Sequence[LMMOutputs],
    groundings: Sequence[Grounding],
) -> None:
    """Set ``pred_instances.presence`` (P,) of samples whose ``pred_instances`` have their ``phrases``."""
    phrases = [sample.pred_instances.get('phrases', ()) for sample in samples]
    asked = asked_margins(model.lmm, images, phrases, model.presence_question)
    for sample, read, shown, grounding, margins in zip(samples, inputs, outputs, groundings, asked, strict=True):
        sample.pred_instances.presence = estimate(model, read, shown, grounding, margins)


def lone_signals(
    model: Any, images: Sequence[Tensor], phrases: Sequence[str], prompt: str, question: str | None
) -> Tensor:
    """(P, S) of one phrase an image, each read as the answer to ``prompt``."""
    texts = [[Segment(phrase, 0)] for phrase in phrases]
    return text_signals(model, images, texts, [[phrase] for phrase in phrases], prompt, question)


@torch.no_grad()
def text_signals(
    model: Any,
    images: Sequence[Tensor],
    texts: Sequence[Sequence[Segment]],
    phrases: Sequence[Sequence[str]],
    prompt: str,
    question: str | None,
) -> Tensor:
    """(P, S) of the phrases of a text an image, each text read as the answer to ``prompt``."""
    if not images:
        return torch.zeros(0, len(SIGNALS))
    inputs = [model.lmm.prepare(image, prompt, text) for image, text in zip(images, texts, strict=True)]
    outputs = model.lmm(inputs)
    for read in outputs:
        check_lmm_numbers(read, model.lmm.model.dtype)
    groundings = model.ground_batch(images, inputs, outputs)
    asked = asked_margins(model.lmm, images, phrases, question)
    parts = zip(inputs, outputs, groundings, asked, strict=True)
    return torch.cat([presence_signals(model.lmm, *about) for about in parts])
