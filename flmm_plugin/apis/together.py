"""Several images in one go: answers that grow together, phrases that are read, decoded and refined together.

What comes out is what each image gives by itself: the same tokens where they are chosen greedily, masks up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from flmm_plugin.apis.conversation import Conversation, check_question
from flmm_plugin.apis.generation import plan_generation
from flmm_plugin.apis.generation_arguments import blamed_on, check_arguments
from flmm_plugin.apis.grounding import Grounder, Seen
from flmm_plugin.apis.phrases import Phrase
from flmm_plugin.apis.results import GroundedAnswer
from flmm_plugin.errors import UserError
from flmm_plugin.models.lmms.context import check_context
from flmm_plugin.models.lmms.parallel import answer_together
from flmm_plugin.structures import Segment, size_of
from flmm_plugin.texts import says_something


def ask_together(
    grounder: Grounder, images: Sequence[Tensor], questions: Sequence[str], generation: Mapping[str, Any]
) -> list[GroundedAnswer]:
    """Answer a question about each uint8 image (3, H, W) and ground the phrases of the answers.

    Args:
        generation: see :meth:`Conversation.ask`. With arguments that want an answer to be generated alone (beams,
            another cache), and where a prompt leaves less room than the answer may take, images come one by one.
    """
    for question in questions:
        check_question(question)
    check_arguments(generation)
    lmm = grounder.model.lmm
    with grounder.lock, torch.inference_mode():
        talks = [Conversation(grounder, image) for image in images]

        def one_by_one() -> list[GroundedAnswer]:
            return [talk.ask(question, **generation) for talk, question in zip(talks, questions, strict=True)]

        if len(images) == 1:
            return one_by_one()
        prompts = [lmm.prepare(image, question) for image, question in zip(images, questions, strict=True)]
        with blamed_on(generation):
            plan = plan_generation(lmm, max(len(prompt.input_ids) for prompt in prompts), generation)
        if plan.alone or plan.room is not None:
            return one_by_one()
        with blamed_on(generation):
            answers = answer_together(lmm, prompts, **plan.options)
        said = []
        for talk, prompt, (ids, past) in zip(talks, prompts, answers, strict=True):
            talk.begin_from(prompt, past)
            said.append(talk.look_at(prompt, ids))
            talk.forget()
        grounded = grounder.ground_batch([one.seen for one in said])
    return [
        GroundedAnswer(question, one.answer, phrases, size_of(image))
        for image, question, one, phrases in zip(images, questions, said, grounded, strict=True)
    ]


def ground_together(
    grounder: Grounder, images: Sequence[Tensor], questions: Sequence[str], phrases: Sequence[Sequence[str]]
) -> list[GroundedAnswer]:
    """Referring segmentation: where each expression is in its uint8 image (3, H, W).

    Each is read by the LMM as an answer of its own to the image's question, so that none depends on the others; an
    image passes through the LMM once.
    """
    lmm, texts = grounder.model.lmm, [check_phrases(own) for own in phrases]
    with grounder.lock, torch.inference_mode():
        inputs = [
            lmm.prepare(image, question, [Segment(text, index, branch=index) for index, text in enumerate(own)])
            for image, question, own in zip(images, questions, texts, strict=True)
        ]
        for sample in inputs:
            check_context(lmm, sample)
        seen = [
            Seen(image, [Phrase(text, ()) for text in own], sample, outputs)
            for image, own, sample, outputs in zip(images, texts, inputs, lmm(inputs), strict=True)
        ]
        grounded = grounder.ground_batch(seen)
    return [
        GroundedAnswer(question, '', found, size_of(image))
        for image, question, found in zip(images, questions, grounded, strict=True)
    ]


def check_phrases(phrases: Sequence[str] | None) -> list[str]:
    """The expressions without space around them."""
    texts = [phrases] if isinstance(phrases, str) else list(phrases) if isinstance(phrases, Iterable) else []
    if not texts or not all(isinstance(text, str) and says_something(text) for text in texts):
        raise UserError("mode 'phrases' needs phrases=[...], a list of expressions, none of them empty")
    return [text.strip() for text in texts]
