"""What pointing costs where nothing is trained: the maps of a few heads, and masks straight from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from flmm_plugin.benchmark.chatting import ANSWER_TOKENS, generate, with_answer
from flmm_plugin.benchmark.extract import circumstances, interleaved
from flmm_plugin.benchmark.forward import bare, captured
from flmm_plugin.benchmark.inputs import make_inputs
from flmm_plugin.benchmark.subject import Subject
from flmm_plugin.models.capture.heads import spread_heads
from flmm_plugin.models.mask_heads import AttentionMaskHead

HEADS = 8


@torch.no_grad()
def measure_untrained(
    subject: Subject, tokens: Sequence[int] | None = None, phrases: int = 6, repeats: int = 5
) -> dict[str, Any]:
    """Measure forward passes of ``tokens`` tokens, and answers of 64 tokens to them.

    Returns:
        The circumstances, and under ``untrained`` a dict for each length: median ``seconds`` of the bare forward pass,
        of the same with the maps of 8 heads, spread over the layers, of generating an answer, and of grounding it (the
        pass over its tokens and the masks, SAM apart); ``time_vs_bare`` and ``grounding_vs_answer``.
    """
    rows = [
        dict(tokens=length, **measure_length(subject, length, phrases, repeats))
        for length in subject.lengths(tokens, phrases)
    ]
    about = dict(**subject.about, phrases=phrases, heads=HEADS, answer_tokens=ANSWER_TOKENS, repeats=repeats)
    return dict(**about, **circumstances(subject.device), untrained=rows)


def measure_length(subject: Subject, length: int, phrases: int, repeats: int) -> dict[str, Any]:
    lmm, mask_head = subject.lmm(length, phrases), AttentionMaskHead()
    lmm.keep_heads(spread_heads(HEADS, len(lmm.attention_layers), lmm.num_heads))
    sample = make_inputs(lmm, length, phrases)
    question = replace(sample, phrase_ids=torch.full_like(sample.phrase_ids, -1))
    past, answer = generate(lmm, question)
    said = with_answer(question, answer, phrases)
    ways: dict[str, Callable[[], object]] = {
        'bare': partial(bare, lmm, [sample]),
        'captured': partial(captured, lmm, [sample]),
        'answer': partial(generate, lmm, question),
        'grounding': lambda: mask_head(lmm.forward_cached(said, past, length).attention_maps),
    }
    for way in ways.values():
        way()
    seconds = interleaved(ways, repeats)
    return dict(
        seconds=seconds,
        time_vs_bare=seconds['captured'] / seconds['bare'],
        grounding_vs_answer=seconds['grounding'] / seconds['answer'],
    )


def table(result: dict[str, Any]) -> str:
    """The result as a Markdown table."""
    names = 'tokens | bare | 8 heads captured | captured / bare | answer | grounding | grounding / answer'
    lines = [f'| {names} |', '|' + '---:|' * 7]
    for row in result['untrained']:
        times = {name: f'{seconds:.3g} s' for name, seconds in row['seconds'].items()}
        cells = [str(row['tokens']), times['bare'], times['captured'], f'{row["time_vs_bare"]:.3f}']
        cells += [times['answer'], times['grounding'], f'{row["grounding_vs_answer"]:.3f}']
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)
