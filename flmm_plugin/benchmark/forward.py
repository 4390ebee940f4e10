"""Three ways to run the LMM: bare, with the attention captured, and as the authors' code does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from flmm_plugin.models.capture.recording import stack_grids
from flmm_plugin.models.lmms import FrozenLMM
from flmm_plugin.models.lmms.compat import last_logits_only
from flmm_plugin.structures import LMMInputs, LMMOutputs


@dataclass(frozen=True)
class Kept:
    """What is left of the LMM's insides when its forward pass ends.

    ``num_bytes``: size of the attention and hidden states held.
    ``maps``: of each sample (P, C, h, w) fp32 attention of its phrases to its image; none where nothing is kept.
    """

    num_bytes: int
    maps: tuple[Tensor, ...] = ()


@contextmanager
def attention_of(lmm: FrozenLMM, name: str) -> Iterator[None]:
    """Switch the language model to another attention implementation."""
    config: Any = lmm.decoder.config
    before = config._attn_implementation
    config._attn_implementation = name
    try:
        yield
    finally:
        config._attn_implementation = before


@torch.no_grad()
def bare(lmm: FrozenLMM, samples: Sequence[LMMInputs]) -> Kept:
    """The forward pass over a batch alone, on transformers' own SDPA."""
    inputs = lmm.collate(samples)
    with attention_of(lmm, 'sdpa'):
        lmm.model(**inputs, use_cache=False, **last_logits_only(lmm.model))
    return Kept(0)


@torch.no_grad()
def captured(lmm: FrozenLMM, samples: Sequence[LMMInputs]) -> Kept:
    """The forward pass of grounding, as it is trained and tested."""
    kept = lmm(samples)
    num_bytes = sum(one.attention_maps.nbytes + one.hidden_states.nbytes for one in kept)
    return Kept(num_bytes, tuple(one.attention_maps for one in kept))


@torch.no_grad()
def eager(lmm: FrozenLMM, samples: Sequence[LMMInputs]) -> Kept:
    """Every layer's whole attention and hidden states returned, and the phrases' part taken out afterwards."""
    outputs, num_bytes = eager_outputs(lmm, samples)
    return Kept(num_bytes, tuple(one.attention_maps for one in outputs))


@torch.no_grad()
def eager_outputs(lmm: FrozenLMM, samples: Sequence[LMMInputs]) -> tuple[list[LMMOutputs], int]:
    """The same as what grounding keeps, and the bytes of what was returned whole."""
    with attention_of(lmm, 'eager'):
        # As the authors do it: with the logits of all tokens.
        whole = lmm.model(**lmm.collate(samples), use_cache=False, output_attentions=True, output_hidden_states=True)
    num_bytes = sum(tensor.nbytes for tensor in (*whole.attentions, *whole.hidden_states))
    attentions, hidden_states = whole.attentions, whole.hidden_states[-lmm.num_layers :]
    outputs = [
        part_of_phrases(lmm, sample, [layer[b] for layer in attentions], [layer[b] for layer in hidden_states])
        for b, sample in enumerate(samples)
    ]
    return outputs, num_bytes


def part_of_phrases(
    lmm: FrozenLMM, sample: LMMInputs, attentions: Sequence[Tensor], hidden_states: Sequence[Tensor]
) -> LMMOutputs:
    """What grounding keeps, of each layer's attention (H, N, N) and hidden states (N, D) of one sample."""
    columns = torch.cat([grid.columns for grid in sample.grids])
    rows = [(sample.phrase_ids == phrase).nonzero().flatten() for phrase in range(sample.num_phrases)]
    # As the authors do it: the image's columns of every row and the hidden states of every token are copied first, and
    # what belongs to the phrases is taken from them.
    to_image = [attention[..., columns] for attention in attentions]
    maps = torch.cat([average(attention, rows) for attention in to_image], dim=1)
    if lmm.heads is not None:
        maps = maps[:, list(lmm.heads)]
    states = torch.stack(list(hidden_states))[:, sample.phrase_rows]
    return LMMOutputs(stack_grids(maps, sample), states, sample.phrase_ids[sample.phrase_rows])


def average(attention: Tensor, rows: Sequence[Tensor]) -> Tensor:
    """(P, H, C) fp32 from one layer's (H, N, C): the mean over the rows of each phrase."""
    return torch.stack([attention[:, tokens].float().mean(dim=1) for tokens in rows])


FORWARDS = {'bare': bare, 'ours': captured, 'eager': eager}
