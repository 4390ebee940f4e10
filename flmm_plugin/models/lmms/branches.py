"""The branches of a text as samples of their own, for LMMs that cannot go on from what the branches share.

Shape shorthand: T tokens whose hidden states are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from flmm_plugin.structures import LMMInputs, LMMOutputs


def split_branches(sample: LMMInputs) -> list[LMMInputs]:
    """One sample a branch, in the order of their indices; the phrases of each are numbered from 0."""
    parts = []
    for chosen in _places(sample):
        phrases = sample.phrase_ids[chosen]
        _, numbers = phrases[phrases >= 0].unique(return_inverse=True)
        phrases = phrases.masked_scatter(phrases >= 0, numbers)
        parts.append(replace(sample, input_ids=sample.input_ids[chosen], phrase_ids=phrases, branch_ids=None))
    return parts


def join_branches(sample: LMMInputs, parts: Sequence[LMMInputs], outputs: Sequence[LMMOutputs]) -> LMMOutputs:
    """What was read of each branch, in the order of the whole sample's phrases and tokens."""
    phrases, tokens = [], []
    for chosen, part, read in zip(_places(sample), parts, outputs, strict=True):
        own = sample.phrase_ids[chosen]
        phrases.append(own[own >= 0].unique())
        # All tokens were kept, the trunk's with each branch, or those of phrases.
        tokens.append(chosen if len(read.phrase_ids) == len(part.input_ids) else chosen[part.phrase_rows])
    trunk = sample.trunk_length
    states = [read.hidden_states[:, own >= trunk] for read, own in zip(outputs, tokens, strict=True)]
    kept = torch.cat([own[own >= trunk] for own in tokens])
    order = kept.argsort()
    return LMMOutputs(
        attention_maps=torch.cat([read.attention_maps for read in outputs])[torch.cat(phrases).argsort()],
        hidden_states=torch.cat(states, dim=1)[:, order],
        phrase_ids=sample.phrase_ids[kept[order]],
    )


def _places(sample: LMMInputs) -> list[Tensor]:
    """For each branch the (T,) int64 places of its text, the trunk's first."""
    assert sample.branch_ids is not None
    branches = sample.branch_ids
    return [((branches < 0) | (branches == one)).nonzero().flatten() for one in branches[branches >= 0].unique()]
