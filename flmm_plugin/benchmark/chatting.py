"""What grounding adds to an answer: generating it, the pass over its own tokens, the mask head and SAM, in turn; and
what it takes to tell whether the things are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from flmm_plugin.benchmark.extract import circumstances, interleaved
from flmm_plugin.benchmark.inputs import TOKENS_PER_PHRASE, lay_out_phrases, make_image, make_inputs
from flmm_plugin.benchmark.subject import Subject
from flmm_plugin.errors import UserError
from flmm_plugin.models.capture.positions import KeptTokens
from flmm_plugin.models.groundings import Grounding
from flmm_plugin.models.lmms import FrozenLMM
from flmm_plugin.models.presence.signals import next_word_logits, presence_signals
from flmm_plugin.models.weights.frozen import freeze
from flmm_plugin.structures import LMMInputs

ANSWER_TOKENS = 64
QUESTION_TOKENS = 12
MOST_PHRASES = (ANSWER_TOKENS + 1) // (TOKENS_PER_PHRASE + 1)


@torch.no_grad()
def measure_chat(
    subject: Subject, tokens: Sequence[int] | None = None, phrases: int = 6, repeats: int = 5
) -> dict[str, Any]:
    """Measure an answer of 64 tokens to questions of ``tokens`` tokens, the image's included.

    Returns:
        The circumstances, and under ``chat`` a dict for each length: median ``seconds`` of generating the answer, of
        capturing (the pass over its tokens), of the mask head and of SAM's prompts and decoder;
        ``grounding_vs_answer``, capture and mask head to the answer; ``sam_vs_answer``; ``presence``, the seconds of
        the signals that come with grounding, and of asking for each phrase once the picture has been read.
    """
    if not 1 <= phrases <= MOST_PHRASES:
        raise UserError(f'an answer of {ANSWER_TOKENS} tokens has room for --phrases 1 to {MOST_PHRASES}')
    lengths = subject.lengths(tokens, 1)  # the question itself has none
    rows = [dict(tokens=length, **measure_answer(subject, length, phrases, repeats)) for length in lengths]
    about = dict(**subject.about, phrases=phrases, answer_tokens=ANSWER_TOKENS, repeats=repeats)
    return dict(**about, **circumstances(subject.device), chat=rows)


def measure_answer(subject: Subject, length: int, phrases: int, repeats: int) -> dict[str, Any]:
    refiner = subject.refiner()
    lmm = subject.lmm(length, 1)
    mask_head = subject.mask_head(lmm).eval()
    freeze(refiner)
    question = make_inputs(lmm, length, 1)
    question = replace(question, phrase_ids=torch.full_like(question.phrase_ids, -1))
    image = make_image(torch.Generator().manual_seed(0))
    text = [torch.randn(TOKENS_PER_PHRASE, refiner.embed_dim, device=subject.device) for _ in range(phrases)]

    past, answer = generate(lmm, question)
    said = with_answer(question, answer, phrases)
    maps = lmm.forward_cached(said, past, length).attention_maps
    coarse = mask_head(maps)
    outputs = lmm.forward_cached(said, past, length)
    scores = refiner(image, coarse, text)[1]  # the image's features are kept from here on
    asking = with_questions(lmm, question, phrases)
    looked = lmm.read(asking.first(asking.trunk_length))
    seconds = interleaved(
        {
            'answer': lambda: generate(lmm, question),
            'capture': lambda: lmm.forward_cached(said, past, length),
            'mask_head': lambda: mask_head(maps),
            'sam': lambda: refiner(image, coarse, text),
            'signals': lambda: presence_signals(lmm, said, outputs, Grounding(coarse, None, scores)),
            'asked': lambda: next_word_logits(
                lmm, lmm.forward_cached(asking, looked, asking.trunk_length).hidden_states[-1]
            ),
        },
        repeats,
    )
    presence = {name: seconds.pop(name) for name in ('signals', 'asked')}
    return dict(
        seconds=seconds,
        grounding_vs_answer=(seconds['capture'] + seconds['mask_head']) / seconds['answer'],
        sam_vs_answer=seconds['sam'] / seconds['answer'],
        presence=presence,
    )


def generate(lmm: FrozenLMM, question: LMMInputs) -> tuple[KeptTokens, torch.Tensor]:
    """The LMM's own greedy answer of 64 tokens, and the keys and values it leaves."""
    past = KeptTokens()
    sequence = lmm.answer(
        question,
        past,
        do_sample=False,
        min_new_tokens=ANSWER_TOKENS,
        max_new_tokens=ANSWER_TOKENS,
        suppress_tokens=[lmm.image_token_id],
        pad_token_id=0,
    )
    return past, sequence[0, len(question.input_ids) :].cpu()


def with_answer(question: LMMInputs, answer: torch.Tensor, phrases: int) -> LMMInputs:
    """The question and its answer, in which ``phrases`` phrases of 4 tokens follow one another."""
    owners = torch.full_like(answer, -1)
    lay_out_phrases(owners, phrases)
    return replace(
        question,
        input_ids=torch.cat([question.input_ids, answer]),
        phrase_ids=torch.cat([question.phrase_ids, owners]),
    )


def with_questions(lmm: FrozenLMM, question: LMMInputs, phrases: int) -> LMMInputs:
    """Questions of 12 tokens about the picture of another one, as branches; the last token of each is read."""
    trunk = question.first(int((question.input_ids == lmm.image_token_id).nonzero().max()) + 1)
    branches = torch.arange(phrases).repeat_interleave(QUESTION_TOKENS)
    last = (torch.arange(len(branches)) + 1) % QUESTION_TOKENS == 0
    return replace(
        trunk,
        input_ids=torch.cat([trunk.input_ids, question.input_ids[:1].expand(len(branches))]),
        phrase_ids=torch.cat([trunk.phrase_ids, torch.where(last, branches, -1)]),
        branch_ids=torch.cat([torch.full_like(trunk.input_ids, -1), branches]),
    )


def table(result: dict[str, Any]) -> str:
    """The result as a Markdown table."""
    names = 'tokens | answer | capture | U-Net | SAM | capture + U-Net / answer | SAM / answer | signals | asked'
    lines = [f'| {names} |', '|' + '---:|' * 9]
    for row in result['chat']:
        times = ' | '.join(f'{seconds:.3g} s' for seconds in row['seconds'].values())
        presence = ' | '.join(f'{seconds:.3g} s' for seconds in row['presence'].values())
        shares = f'{row["grounding_vs_answer"]:.3f} | {row["sam_vs_answer"]:.3f}'
        lines.append(f'| {row["tokens"]} | {times} | {shares} | {presence} |')
    return '\n'.join(lines)
