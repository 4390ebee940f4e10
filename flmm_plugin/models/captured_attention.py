"""Which part of the attention is kept, and what has been reported of it.

Shape shorthand: T phrase tokens, P phrases, C image columns, K heads kept in a layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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


@dataclass
class AttentionCapture:
    """What the layers reported: ``kept[b]`` is (P, K of all layers, C) fp32.

    ``num_heads``: of a layer; where it is not given, the first report tells. ``heads``, ``unmasked``, ``read``: see
    :func:`select_attention`.
    """

    selections: Sequence[AttentionSelection]
    num_layers: int
    num_heads: int | None = None
    heads: Mapping[int, Tensor] | None = None
    unmasked: bool = False
    read: Sequence[Tensor] | None = None
    reported: set[int] = field(default_factory=set)
    kept: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Before the pass: in among its large tensors, what stays of each layer would hold up the memory they leave.
        if self.num_heads is not None or self.heads is not None:
            self.allocate()

    def allocate(self) -> None:
        total = sum(self.heads_before(self.num_layers))
        self.kept = [
            torch.empty(one.num_phrases, total, len(one.columns), device=one.columns.device) for one in self.selections
        ]

    def heads_before(self, layer: int) -> list[int]:
        """How many heads each layer before this one keeps."""
        if self.heads is not None:
            return [len(self.heads[index]) for index in range(layer)]
        assert self.num_heads is not None
        return [self.num_heads] * layer

    def maps(self, sample: int) -> Tensor:
        """(P, heads kept in all layers, C) fp32 attention of one sample, averaged over the tokens of each phrase."""
        return self.kept[sample]

    def report(self, layer: int, maps: list[Tensor]) -> None:
        if layer in self.reported:
            raise RuntimeError(f'layer {layer} reported its attention twice: run one forward pass per capture')
        if not self.kept:
            self.num_heads = maps[0].shape[1]
            self.allocate()
        self.reported.add(layer)
        first = sum(self.heads_before(layer))
        for kept, own in zip(self.kept, maps, strict=True):
            kept[:, first : first + own.shape[1]] = own
