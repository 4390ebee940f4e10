"""Where to look more closely for a question about an image: three ways to find out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from flmm_plugin.apis.conversation import Conversation
from flmm_plugin.apis.generation import StopAtStrings
from flmm_plugin.apis.grounding import Seen
from flmm_plugin.apis.inferencer import FLMMInferencer
from flmm_plugin.apis.phrases import Phrase, PhraseExtractor
from flmm_plugin.apis.phrases.base import Ask, Span
from flmm_plugin.apis.visual_cot.crops import Box
from flmm_plugin.models.answering import answer_and_look
from flmm_plugin.models.lmms.base import FrozenLMM
from flmm_plugin.models.lmms.processing import common_prefix
from flmm_plugin.structures import LMMInputs, LMMOutputs

THINK = '{question} First think which object in this image is most relevant to the question.'
BEGIN = ' The object most relevant to the question is'
#: As the authors join them.
AUTHORS_THINK = THINK.replace('} First', '}First')
#: Questions that begin and end differently, so that none begins and ends as any other question does.
OTHERS = ('', 'a', '1', '?')


@dataclass(frozen=True)
class Look:
    """``text``: what is looked at; ``box``: x0, y0, x1, y1 around it, None where it was not found."""

    text: str
    box: Box | None = None


#: From a model, a uint8 image (3, H, W), a question about it and how many tokens a thought may have.
Looking = Callable[[FLMMInferencer, Tensor, str, int], Look]


class WholeThought(PhraseExtractor):
    """The first sentence, as one phrase."""

    def find(self, text: str, ask: Ask | None = None) -> list[Span]:
        end = text.find('.')
        return [(0, end if end > 0 else len(text))] if text else []

    def __call__(self, text: str, ask: Ask | None = None) -> list[Phrase]:
        return [Phrase(text[slice(*span)], (span,)) for span in self.find(text)]


def thought(inferencer: FLMMInferencer, image: Tensor, question: str, tokens: int) -> Look:
    """The LMM names the object, which is looked at if it is grounded with enough confidence."""
    conversation = Conversation(replace(inferencer.grounder, extractor=WholeThought()), image)
    said = conversation.ask(THINK.format(question=question), begin=BEGIN, max_new_tokens=tokens)
    return Look(said.phrases[0].text, said.phrases[0].box) if said.phrases else Look(said.answer)


def authors_thought(inferencer: FLMMInferencer, image: Tensor, question: str, tokens: int) -> Look:
    """The LMM names the object, up to the first full stop; all but the last of its ``tokens`` are grounded."""
    lmm = inferencer.model.lmm
    asked = lmm.prepare(image, AUTHORS_THINK.format(question=question), begin=BEGIN)
    stop = StopAtStrings(lmm.processor.tokenizer, ['.'], len(asked.input_ids))
    answer = answer_and_look(lmm, asked, max_tokens=tokens - 1, stopping_criteria=[stop])
    return ground_all(inferencer, image, answer.text, answer.inputs, answer.outputs)


def authors_question(inferencer: FLMMInferencer, image: Tensor, question: str, tokens: int) -> Look:
    """The question itself is grounded, as the LMM reads it."""
    lmm = inferencer.model.lmm
    ids, phrases = question_tokens(lmm, question)
    inputs = lmm.prepare_tokens(image, ids, phrases)
    return ground_all(inferencer, image, question, inputs, lmm([inputs])[0])


def question_tokens(lmm: FrozenLMM, question: str) -> tuple[Tensor, Tensor]:
    """The prompt's ``input_ids`` and ``phrase_ids``, each (M,): the question's tokens are phrase 0.

    They are what prompts with other questions do not have around theirs.
    """
    ids, others = lmm.tokenize(question)[0], [lmm.tokenize(other)[0].tolist() for other in OTHERS]
    whole = ids.tolist()
    start = min(common_prefix(whole, other) for other in others)
    after = min(common_prefix(whole[::-1], other[::-1]) for other in others)
    phrases = torch.full_like(ids, -1)
    phrases[start : len(whole) - after] = 0
    return ids, phrases


def ground_all(inferencer: FLMMInferencer, image: Tensor, text: str, inputs: LMMInputs, outputs: LMMOutputs) -> Look:
    """The box of phrase 0, however little confidence there is in it."""
    sure = replace(inferencer.grounder, min_score=-math.inf, min_attention=-math.inf)
    ((found,),) = sure.ground_batch([Seen(image, [Phrase(text, ())], inputs, outputs)])
    return Look(text, found.box)
