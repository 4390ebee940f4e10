"""A question about an image, answered with a closer look at what matters for it.

1. What matters is found: :mod:`~flmm_plugin.apis.visual_cot.looks`.
2. Its box is cut out of the image: :mod:`~flmm_plugin.apis.visual_cot.crops`.
3. The LMM answers with both in its prompt, for which it must take two images.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from flmm_plugin.apis.inferencer import FLMMInferencer
from flmm_plugin.apis.phrases import answer_text
from flmm_plugin.apis.visual_cot.crops import CROPS, Box
from flmm_plugin.apis.visual_cot.looks import Look, Looking, authors_question, authors_thought, thought
from flmm_plugin.apis.visual_cot.two_images import image_text, prepare_two
from flmm_plugin.errors import UserError
from flmm_plugin.structures import size_of

SHORT = '\nAnswer the question using a single word or phrase.'
AUTHORS_ANSWER = 'the whole image, {detail}the image region that might help you answer the question: {question}' + SHORT


@dataclass(frozen=True)
class Protocol:
    """How a question is answered.

    ``look``: finds what matters; None to answer at once. ``crop``: the rule that cuts it out, a key of ``CROPS``.
    ``prompt``: asks for the answer; has ``{question}``, and may have ``{thought}`` and ``{detail}``, the second image.
    """

    look: Looking | None
    crop: str
    prompt: str


#: ``authors/...`` are ``visual_cot_v1`` to ``v3`` of F-LMM's authors' code (``frozen_deepseek_vl.py``).
PROTOCOLS = {
    'closer_look': Protocol(
        thought, 'tight', 'The second image is the part of the first one that shows {thought}.\n{question}' + SHORT
    ),
    'authors/v1': Protocol(authors_thought, 'authors', AUTHORS_ANSWER),
    'authors/v2': Protocol(authors_question, 'authors', AUTHORS_ANSWER),
    'authors/v3': Protocol(None, 'authors', '{question}' + SHORT),
}


@dataclass(frozen=True)
class Thought:
    """``text``: the object; ``box``: x0, y0, x1, y1 of what was looked at; ``grounded``: whether it was found there."""

    text: str
    box: Box
    grounded: bool
    answer: str


@torch.inference_mode()
def think(
    inferencer: FLMMInferencer,
    image: Tensor,
    question: str,
    *,
    protocol: str = 'closer_look',
    crop: str | None = None,
    box_scale: float = 1.0,
    thought_tokens: int = 16,
    answer_tokens: int = 32,
) -> Thought:
    """Answer a question about a uint8 image (3, H, W) after a closer look; the whole image where nothing is found.

    Args:
        protocol: a key of :data:`PROTOCOLS`.
        crop: another rule to cut out by than the protocol's, a key of ``CROPS``.
        box_scale: how much wider than the object the closer look is.
    """
    way, crop = choose(protocol, crop)
    size = size_of(image)
    with inferencer.grounder.lock:
        found = Look('') if way.look is None else way.look(inferencer, image, question, thought_tokens)
        box: Box = (0, 0, *size[::-1]) if found.box is None else CROPS[crop](found.box, box_scale, size)
        x0, y0, x1, y1 = box
        shown = image_text(inferencer.model.lmm)
        prompt = way.prompt.format(question=question, thought=found.text or 'a detail', detail=shown)
        detail = None if way.look is None else image[:, y0:y1, x0:x1]
        answer = answer_about(inferencer, image, detail, prompt, answer_tokens)
    return Thought(found.text, box, found.box is not None, answer)


def choose(protocol: str, crop: str | None) -> tuple[Protocol, str]:
    """A protocol by its name, and the rule to cut out by."""
    if protocol not in PROTOCOLS:
        raise UserError(f'protocol={protocol!r}: expected one of {", ".join(PROTOCOLS)}')
    crop = crop or PROTOCOLS[protocol].crop
    if crop not in CROPS:
        raise UserError(f'crop={crop!r}: expected one of {", ".join(CROPS)}')
    return PROTOCOLS[protocol], crop


def answer_about(
    inferencer: FLMMInferencer, image: Tensor, detail: Tensor | None, prompt: str, max_new_tokens: int
) -> str:
    """The LMM's greedy answer to a prompt about an image, and a detail of it where there is one."""
    lmm = inferencer.model.lmm
    sample = lmm.prepare(image, prompt) if detail is None else prepare_two(lmm, image, detail, prompt)
    sequence = lmm.answer(sample, do_sample=False, max_new_tokens=max_new_tokens)
    return answer_text(lmm.processor.tokenizer, sequence[0, len(sample.input_ids) :].tolist())
