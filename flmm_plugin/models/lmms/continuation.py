"""Tokens that are read after others whose keys and values are kept: where they stand and what they see.

Shape shorthand: N tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

from flmm_plugin.structures import LMMInputs


def continued_positions(sample: LMMInputs, cached: int) -> Tensor:
    """Positions (N - cached,) of the tokens that follow the first ``cached``: each branch goes on from the trunk."""
    positions = torch.arange(cached, len(sample.input_ids))
    if sample.branch_ids is not None:
        branches = sample.branch_ids[cached:]
        for branch in branches.unique():
            members = branches == branch
            start = cached if branch < 0 else sample.trunk_length
            positions[members] = torch.arange(start, start + int(members.sum()))
    return positions


def continued_mask(sample: LMMInputs, cached: int, dtype: torch.dtype) -> Tensor:
    """Additive mask (1, 1, N - cached, N) of the tokens that follow: what came before, but no other branch."""
    places = torch.arange(len(sample.input_ids))
    visible = places <= places[cached:, None]
    if sample.branch_ids is not None:
        visible &= (sample.branch_ids < 0) | (sample.branch_ids == sample.branch_ids[cached:, None])
    return torch.zeros(visible.shape, dtype=dtype).masked_fill(~visible, torch.finfo(dtype).min)[None, None]
