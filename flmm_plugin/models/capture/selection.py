"""Which part of the attention is kept, and computing that part.

Shape shorthand: B samples, H query heads, G key/value heads, N keys, Q queries, D head width, T phrase tokens,
P phrases, C image columns, K heads that are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


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


@dataclass(frozen=True)
class SelectedRows:
    """The rows of a batch's samples side by side.

    ``rows``: (B, T) int64 places among the keys. ``weights``: (B, 1, P, T) fp32, which average the rows of each phrase.
    ``columns``: of each sample (C,) int64. Samples with fewer rows have one several times, of no weight but once; what
    stands for phrases that they lack means nothing.
    """

    rows: Tensor
    weights: Tensor
    columns: tuple[Tensor, ...]

    @classmethod
    def of(cls, selections: Sequence[AttentionSelection]) -> SelectedRows:
        most = max((one.rows for one in selections), key=len)
        rows = [fill(one.rows if len(one.rows) else most[:1], len(most)) for one in selections]
        phrases = pad_sequence([one.phrases for one in selections], batch_first=True, padding_value=-1)
        names = torch.arange(max(one.num_phrases for one in selections), device=phrases.device)
        members = (phrases[:, None] == names[:, None]).float()
        weights = (members / members.sum(dim=2, keepdim=True))[:, None]
        return cls(torch.stack(rows), weights, tuple(one.columns for one in selections))

    def to(self, device: torch.device) -> SelectedRows:
        """In three copies, however many samples there are."""
        columns = torch.cat(self.columns).to(device, non_blocking=True).split([len(own) for own in self.columns])
        rows, weights = (tensor.to(device, non_blocking=True) for tensor in (self.rows, self.weights))
        return SelectedRows(rows, weights, tuple(columns))

    def places(self, query: Tensor, num_keys: int) -> Tensor:
        """Where along the third axis of queries (B, H, Q, D), the last of N tokens, the rows are: (B, H, T, D)."""
        local = (self.rows - (num_keys - query.shape[2]))[:, None, :, None]
        return local.expand(-1, query.shape[1], -1, query.shape[3])

    def visible(self, mask: Tensor | None, num_keys: int, causal: bool, dtype: torch.dtype) -> Tensor:
        """What is added to the scores of the rows, (B, 1 or H, T, N): 0 for keys that may be seen.

        Args:
            mask: None, or (1 or B, 1 or H, Q, >=N), additive float or bool (True = may attend). With a cache the Q
                queries are the last of N.
            causal: hide the keys after each row where there is no mask.
        """
        places = self.rows[:, None, :, None]
        if mask is None:
            hidden = (torch.arange(num_keys, device=places.device) > places) & causal
        else:
            local = (places - (num_keys - mask.shape[2])).expand(-1, mask.shape[1], -1, num_keys)
            given = mask[..., :num_keys].expand(len(places), -1, -1, -1).gather(2, local)
            if given.dtype != torch.bool:
                return given.to(dtype)
            hidden = ~given
        return hidden.new_zeros(hidden.shape, dtype=dtype).masked_fill(hidden, -torch.inf)


def fill(rows: Tensor, length: int) -> Tensor:
    """(length,) rows, the first one again and again where there are fewer."""
    return rows if len(rows) == length else torch.cat([rows, rows[:1].expand(length - len(rows))])


def attend_selected(query: Tensor, key: Tensor, visible: Tensor, scaling: float, heads: Tensor | None = None) -> Tensor:
    """Softmaxed attention of the selected rows to all keys, in as few operations as can be: a GPU counts them.

    Args:
        query: (B, H, T, D) contiguous, and ``key``: (B, G, N, D), after rotary embedding.
        visible: (B, 1 or H, T, N) of :meth:`SelectedRows.visible`, in the dtype of ``query``.
        heads: (K,) int64 heads to keep, all by default.

    Returns:
        (B, K, T, N) fp32.
    """
    # The scores are added to what hides some of them, and scaled on the way. Heads that share a key are stacked along
    # the rows, and samples stay apart: so the keys are never copied.
    scores = visible.expand(-1, query.shape[1], -1, -1).clone(memory_format=torch.contiguous_format)
    grouped = (tensor.view(*key.shape[:2], -1, tensor.shape[3]) for tensor in (scores, query))
    for own, queries, keys in zip(*grouped, key.transpose(2, 3), strict=True):
        own.baddbmm_(queries, keys, alpha=scaling)
    return (scores if heads is None else scores[:, heads]).softmax(dim=-1, dtype=torch.float32)
