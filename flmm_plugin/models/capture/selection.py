"""Which part of the attention is kept.

Shape shorthand: H query heads, G key/value heads, N keys, Q queries, D head width, T phrase tokens, P phrases, C image
columns, K heads that are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class AttentionSelection:
    """Which part of one sample's attention is kept.

    ``rows``: (T,) int64 absolute positions of the phrase tokens; ``phrases``: (T,) int64 the phrase of each, in
    ``0..num_phrases-1``; ``columns``: (C,) int64 absolute positions of the image tokens.
    """

    rows: Tensor
    phrases: Tensor
    columns: Tensor
    num_phrases: int

    @cached_property
    def averaging(self) -> Tensor:
        """(P, T) fp32 matrix that averages the rows of each phrase."""
        members = self.phrases == torch.arange(self.num_phrases, device=self.phrases.device)[:, None]
        return members / members.sum(dim=1, keepdim=True)


def attend_selected(
    selection: AttentionSelection,
    query: Tensor,
    key: Tensor,
    mask: Tensor | None,
    scaling: float,
    causal: bool,
    heads: Tensor | None = None,
) -> Tensor:
    """Softmaxed attention of one sample's selected rows, averaged over each phrase.

    Args:
        query: (H, Q, D) and ``key``: (G, N, D), after rotary embedding. With a cache the Q queries are the last of N.
        mask: None, or (1 or H, Q, >=N), additive float or bool (True = may attend).
        causal: hide the keys after each row where ``mask`` is None.
        heads: (K,) int64 heads to keep, all by default.

    Returns:
        (P, K, C) fp32.
    """
    if heads is not None and not len(heads):
        return torch.zeros(selection.num_phrases, 0, len(selection.columns), device=query.device)
    num_keys = key.shape[1]
    rows = selection.rows.to(query.device)
    local = rows - (num_keys - query.shape[1])
    # Heads that share a key are stacked along the rows, so that the keys are never repeated.
    queries = query[:, local].unflatten(0, (key.shape[0], -1))
    scores = queries.flatten(1, 2) @ key.transpose(1, 2)
    scores = scores.unflatten(1, (-1, len(rows))).flatten(0, 1)
    if heads is not None:
        heads = heads.to(query.device)
        scores = scores[heads]
        mask = mask[heads] if mask is not None and len(mask) > 1 else mask
    scores = scores.float() * scaling
    if mask is not None:
        visible = mask[:, local, :num_keys]
        scores = scores.masked_fill(~visible, -torch.inf) if mask.dtype == torch.bool else scores + visible
    elif causal:
        hidden = torch.arange(num_keys, device=rows.device) > rows[:, None]
        scores = scores.masked_fill(hidden, -torch.inf)
    probabilities = scores.softmax(dim=-1)[..., selection.columns.to(query.device)]
    return torch.einsum('pt,htc->phc', selection.averaging.to(query.device), probabilities)
