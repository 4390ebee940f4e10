"""Tokens that are read after others whose keys and values are kept: where they stand and what they see.

Shape shorthand: N tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

from flmm_plugin.structures import LMMInputs


def text_positions(sample: LMMInputs) -> Tensor:
    """Places (N,) of a sample's tokens in their own text: each branch goes on from the trunk."""
    positions = torch.arange(len(sample.input_ids))
    if sample.branch_ids is not None:
        trunk = sample.trunk_length
        for branch in sample.branch_ids[trunk:].unique():
            members = sample.branch_ids == branch
            positions[members] = torch.arange(trunk, trunk + int(members.sum()))
    return positions


def visible_tokens(sample: LMMInputs, cached: int) -> Tensor:
    """Bool (N - cached, N): what tokens after the first ``cached`` may see: what came before, but no other branch."""
    places = torch.arange(len(sample.input_ids))
    visible = places <= places[cached:, None]
    if sample.branch_ids is not None:
        visible &= (sample.branch_ids < 0) | (sample.branch_ids == sample.branch_ids[cached:, None])
    return visible
