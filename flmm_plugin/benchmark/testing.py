"""What testing costs: independent expressions with and without a shared image, masks decoded at once and one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from flmm_plugin.benchmark.extract import circumstances, interleaved
from flmm_plugin.benchmark.inputs import IMAGE_SIZE, TOKENS_PER_PHRASE, make_image, make_inputs
from flmm_plugin.benchmark.original import original_refiner
from flmm_plugin.benchmark.subject import Subject
from flmm_plugin.models.lmms import FrozenLMM
from flmm_plugin.models.refiners import SAMRefiner
from flmm_plugin.models.weights.frozen import freeze
from flmm_plugin.structures import LMMInputs


@torch.no_grad()
def measure_testing(
    subject: Subject, tokens: Sequence[int] | None = None, phrases: int = 6, repeats: int = 5
) -> dict[str, Any]:
    """Measure the LMM for each length of ``tokens`` (of one text of all expressions), and SAM's decoder once.

    Returns:
        The circumstances; under ``independent`` a dict for each length and under ``decode`` and ``refine`` one, with
        median seconds, ``speedup`` and the largest ``max_difference`` of what the two ways end up with (attention maps,
        logits).
    """
    lengths = subject.lengths(tokens, phrases)
    refiner = subject.refiner()
    independent = []
    for length in lengths:
        lmm = subject.lmm(length, phrases)
        independent.append(dict(tokens=length, **measure_sharing(lmm, make_inputs(lmm, length, phrases), repeats)))
        del lmm  # a large one has no room beside the next
    return dict(
        **subject.about,
        phrases=phrases,
        repeats=repeats,
        **circumstances(subject.device),
        independent=independent,
        **measure_decoding(refiner, phrases, repeats),
    )


def measure_sharing(lmm: FrozenLMM, sample: LMMInputs, repeats: int) -> dict[str, Any]:
    """One pass over the image for all expressions, against a pass for each."""
    together, alone = as_branches(sample), one_by_one(sample)
    (shared,) = lmm([together])
    single = torch.cat([lmm([one])[0].attention_maps for one in alone])
    seconds = interleaved(
        {'shared': lambda: lmm([together]), 'alone': lambda: [lmm([one]) for one in alone]},
        repeats,
    )
    return compared(seconds, 'alone', 'shared', shared.attention_maps, single)


def measure_decoding(ours: SAMRefiner, phrases: int, repeats: int) -> dict[str, dict[str, Any]]:
    """SAM on the masks of one image, all at once and phrase by phrase as the authors do.

    Under ``decode`` the decoder alone, under ``refine`` with the prompts before and the masks at image size after it,
    which are made of all phrases at once either way.
    """
    freeze(ours)
    original, device = original_refiner(ours), ours.model.device
    image = make_image(torch.Generator().manual_seed(0))
    coarse = torch.randn(phrases, 48, 64, device=device)
    # Texts of different length, as phrases have.
    text = [torch.randn(2 + i % TOKENS_PER_PHRASE, ours.embed_dim, device=device) for i in range(phrases)]
    dense, sparse = ours.embed_prompts(coarse, IMAGE_SIZE, ours.input_size(image))
    prompts = [torch.cat(parts) for parts in zip(sparse, text, strict=True)]
    features = ours.encode_images([image]) * phrases
    original.encode_images([image])  # kept from here on, as ours are

    def both(run: Callable[[SAMRefiner], torch.Tensor]) -> dict[str, Any]:
        seconds = interleaved({'at_once': lambda: run(ours), 'one_by_one': lambda: run(original)}, repeats)
        return compared(seconds, 'one_by_one', 'at_once', run(ours), run(original))

    return dict(
        decode=both(lambda refiner: refiner.decode(features, dense, prompts)[0]),
        refine=both(lambda refiner: refiner(image, coarse, text)[0]),
    )


def as_branches(sample: LMMInputs) -> LMMInputs:
    """The same expressions as alternative continuations of the image and the question."""
    start = int(sample.phrase_rows[0])
    branches = torch.full_like(sample.input_ids, -1)
    branches[start:] = (torch.arange(len(branches) - start) // (TOKENS_PER_PHRASE + 1)).clamp(
        max=sample.num_phrases - 1
    )
    return replace(sample, branch_ids=branches)


def one_by_one(sample: LMMInputs) -> list[LMMInputs]:
    """A sample for each expression alone."""
    trunk = sample.first(int(sample.phrase_rows[0]))
    branches = as_branches(sample).branch_ids
    assert branches is not None
    return [
        replace(
            trunk,
            input_ids=torch.cat([trunk.input_ids, sample.input_ids[branches == phrase]]),
            phrase_ids=torch.cat([trunk.phrase_ids, sample.phrase_ids[branches == phrase].clamp(max=0)]),
        )
        for phrase in range(sample.num_phrases)
    ]


def compared(
    seconds: Mapping[str, float], slow: str, fast: str, found: torch.Tensor, expected: torch.Tensor
) -> dict[str, Any]:
    return dict(
        seconds=dict(seconds),
        speedup=seconds[slow] / seconds[fast],
        max_difference=(found - expected).abs().max().item(),
    )


def table(result: dict[str, Any]) -> str:
    """The result as a Markdown table."""
    lines = ['| | one by one | together | speed-up | largest difference |', '|---|---:|---:|---:|---:|']
    rows = [(f'LMM, {row["tokens"]} tokens', row) for row in result['independent']]
    names = {'decode': "SAM's decoder", 'refine': 'SAM, from coarse masks to masks'}
    rows += [(name, result[field]) for field, name in names.items() if field in result]
    for name, row in rows:
        together, single = row['seconds'].values()
        lines.append(
            f'| {name} | {single:.3g} s | {together:.3g} s | {row["speedup"]:.2f} | {row["max_difference"]:.1e} |'
        )
    return '\n'.join(lines)
