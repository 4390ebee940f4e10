"""Answers of several pictures together against one by one: reading, decoding, looking, masks, in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from flmm_plugin.benchmark.chatting import ANSWER_TOKENS, with_answer
from flmm_plugin.benchmark.extract import circumstances, interleaved, synchronize
from flmm_plugin.benchmark.inputs import IMAGE_SIZE, make_inputs
from flmm_plugin.benchmark.subject import Subject
from flmm_plugin.models.flmm import FLMM
from flmm_plugin.models.lmms.parallel import answer_together
from flmm_plugin.structures import LMMInputs

PARTS = ('decoding', 'looking', 'masks')
PICTURES = 8


@torch.no_grad()
def measure_annotating(
    subject: Subject, tokens: Sequence[int] | None = None, phrases: int = 6, repeats: int = 3, batch: int = PICTURES
) -> dict[str, Any]:
    """Measure 8 pictures whose questions have ``tokens`` tokens and whose answers have 64, with ``phrases`` phrases.

    Returns:
        The circumstances, and under ``annotate`` a dict for each length: ``seconds`` in all by way; ``reading``, the
        seconds of reading all prompts, which is the same work in both; ``parts``, where the rest went; ``speedup``,
        one by one to together, in all and without reading; whether the ``same_tokens`` came out, and the
        ``max_difference`` of the masks' logits.
    """
    rows = []
    for length in subject.lengths(tokens, 1):
        model = subject.model(length, 1).eval()
        rows.append(dict(tokens=length, **measure_length(model, length, phrases, repeats, batch)))
    about = dict(**subject.about, phrases=phrases, answer_tokens=ANSWER_TOKENS, pictures=PICTURES, batch=batch)
    return dict(**about, repeats=repeats, **circumstances(subject.device), annotate=rows)


def measure_length(model: FLMM, length: int, phrases: int, repeats: int, batch: int) -> dict[str, Any]:
    question = make_inputs(model.lmm, length, 1)
    question = replace(question, phrase_ids=torch.full_like(question.phrase_ids, -1))
    pictures = [torch.randint(0, 256, (3, *IMAGE_SIZE), dtype=torch.uint8) for _ in range(PICTURES)]
    sam = model.sam
    assert sam is not None
    sam.image_features.cache.in_memory = PICTURES
    sam.encode_images(pictures)  # kept from here on: encoding is the same work in both ways

    spent: dict[str, dict[str, float]] = {}
    found: dict[str, list[tuple[list[int], torch.Tensor]]] = {}

    def way(name: str, size: int) -> Callable[[], None]:
        def run() -> None:
            spent[name], found[name] = dict.fromkeys(PARTS, 0.0), []
            for start in range(0, PICTURES, size):
                found[name] += annotate(model, question, pictures[start : start + size], phrases, spent[name])

        return run

    seconds = interleaved({'one_by_one': way('one_by_one', 1), 'together': way('together', batch)}, repeats)
    reading = interleaved({'read': lambda: [model.lmm.read(question) for _ in pictures]}, repeats)['read']
    for parts in spent.values():
        parts['decoding'] -= reading
    rest = {name: total - reading for name, total in seconds.items()}
    pairs = list(zip(found['one_by_one'], found['together'], strict=True))
    return dict(
        seconds=seconds,
        reading=reading,
        parts=spent,
        speedup=seconds['one_by_one'] / seconds['together'],
        speedup_without_reading=rest['one_by_one'] / rest['together'],
        same_tokens=all(one[0] == other[0] for one, other in pairs),
        max_difference=max(float((one[1] - other[1]).abs().max()) for one, other in pairs),
    )


def annotate(
    model: FLMM, question: LMMInputs, pictures: Sequence[torch.Tensor], phrases: int, spent: dict[str, float]
) -> list[tuple[list[int], torch.Tensor]]:
    """Tokens of the answers and logits of the masks; adds to ``spent`` what each part takes."""
    begin = time.perf_counter()

    def done(part: str) -> None:
        nonlocal begin
        synchronize()
        spent[part] += time.perf_counter() - begin
        begin = time.perf_counter()

    answers = answer_together(
        model.lmm,
        [question] * len(pictures),
        do_sample=False,
        min_new_tokens=ANSWER_TOKENS,
        max_new_tokens=ANSWER_TOKENS,
        suppress_tokens=[model.lmm.image_token_id],
        pad_token_id=0,
    )
    done('decoding')
    said = [with_answer(question, torch.tensor(ids), phrases) for ids, _ in answers]
    outputs = [
        model.lmm.forward_cached(one, past, len(question.input_ids))
        for one, (_, past) in zip(said, answers, strict=True)
        if past is not None
    ]
    done('looking')
    groundings = model.ground_batch(pictures, said, outputs)
    done('masks')
    return [
        (ids, grounding.coarse if grounding.refined is None else grounding.refined)
        for (ids, _), grounding in zip(answers, groundings, strict=True)
    ]


def table(result: dict[str, Any]) -> str:
    """The result as a Markdown table."""
    lines = [
        '| tokens | way | all | reading | decoding | looking | masks | pictures a second |',
        '|---:|---|' + '---:|' * 6,
    ]
    for row in result['annotate']:
        for name, total in row['seconds'].items():
            times = ' | '.join(f'{row["parts"][name][part]:.3g} s' for part in PARTS)
            about = f'| {row["tokens"]} | {name.replace("_", " ")} | {total:.3g} s | {row["reading"]:.3g} s'
            lines.append(f'{about} | {times} | {result["pictures"] / total:.2f} |')
        lines.append(
            f'| | speedup | {row["speedup"]:.2f} | | {row["speedup_without_reading"]:.2f} without reading | | | |'
        )
    return '\n'.join(lines)
