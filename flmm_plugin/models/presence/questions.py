"""Asking the frozen LMM whether things are there: all questions about a picture share one pass over it.

Shape shorthand: P phrases, M tokens of a text, V words of the vocabulary.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from flmm_plugin.models.presence.signals import next_word_logits
from flmm_plugin.structures import LMMInputs, LMMOutputs

YES, NO = ('yes', 'Yes', ' yes', ' Yes'), ('no', 'No', ' no', ' No')


def ask_for(question: str, phrase: str) -> str:
    """``question`` with the phrase in the place of ``{phrase}``: "the red ball" is asked for as "a red ball"."""
    return question.format(phrase=re.sub(r'^the\b', 'a', phrase.strip(), flags=re.IGNORECASE))


def question_samples(lmm: Any, image: Tensor, questions: Sequence[str]) -> list[LMMInputs]:
    """Inputs whose phrases' tokens are the last ones before an answer, P of them in the questions' order.

    They are the branches of one text; texts of their own where an LMM's questions see themselves, or its chat template
    puts the picture last.

    Args:
        image: uint8 (3, H, W).
    """
    texts = [] if lmm.prompt_sees_itself else [lmm.tokenize(question)[0] for question in questions]
    shared = shared_length(texts)
    if not texts or not (texts[0][:shared] == lmm.image_token_id).any():
        alone = [lmm.prepare(image, question) for question in questions]
        return [replace(one, phrase_ids=last_token(one.phrase_ids)) for one in alone]
    trunk = texts[0][:shared]
    ids = [trunk, *(text[shared:] for text in texts)]
    branches = [torch.full_like(own, index - 1) for index, own in enumerate(ids)]
    phrases = [torch.full_like(trunk, -1), *(last_token(own, index) for index, own in enumerate(ids[1:]))]
    return [lmm.prepare_tokens(image, torch.cat(ids), torch.cat(phrases), torch.cat(branches))]


def shared_length(texts: Sequence[Tensor]) -> int:
    """How many ids texts (M,) begin with alike, less than any of them has; 0 where there is but one text."""
    if len(texts) < 2:
        return 0
    most = min(map(len, texts)) - 1
    same = torch.stack([text[:most] == texts[0][:most] for text in texts]).all(dim=0)
    return int(same.long().cumprod(0).sum())


def last_token(ids: Tensor, phrase: int = 0) -> Tensor:
    """(M,) -1 but for the last one, which is of ``phrase``."""
    owners = torch.full_like(ids, -1)
    owners[-1] = phrase
    return owners


def yes_margins(lmm: Any, outputs: Sequence[LMMOutputs]) -> Tensor:
    """(P,) log odds of an answer that begins with "yes" against one that begins with "no", on the CPU.

    Args:
        outputs: of the samples of :func:`question_samples`.
    """
    logits = next_word_logits(lmm, torch.cat([one.hidden_states[-1] for one in outputs])).cpu()
    yes, no = answer_ids(lmm.processor.tokenizer)
    return logits[:, yes].logsumexp(1) - logits[:, no].logsumexp(1)


def ask_all(lmm: Any, images: Sequence[Tensor], questions: Sequence[Sequence[str]]) -> list[Tensor]:
    """Of each image the :func:`yes_margins` of its questions, at least one."""
    samples = [question_samples(lmm, *about) for about in zip(images, questions, strict=True)]
    margins = yes_margins(lmm, lmm.read_batch([one for own in samples for one in own]))
    return list(margins.split([len(own) for own in questions]))


def answer_ids(tokenizer: Any) -> tuple[list[int], list[int]]:
    """First tokens of "yes" and of "no", however they are written; none of them begins both."""
    first = [{tokenizer(word, add_special_tokens=False)['input_ids'][0] for word in words} for words in (YES, NO)]
    unknown = {tokenizer.unk_token_id}
    return sorted(first[0] - first[1] - unknown), sorted(first[1] - first[0] - unknown)
