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

    Its arguments are those of :func:`select_attention`. Room for all layers is made before the pass: in among its large
    tensors, what stays of each layer would hold up the memory they leave.
    """

    selections: Sequence[AttentionSelection]
    num_layers: int
    num_heads: int
    heads: Mapping[int, Tensor] | None = None
    unmasked: bool = False
    read: Sequence[Tensor] | None = None
    layers: Sequence[int] | None = None
    masks: Sequence[Tensor] | None = None
    reported: set[int] = field(default_factory=set)
    kept: list[Tensor] = field(init=False)
    places: dict[int, int] = field(init=False)

    def __post_init__(self) -> None:
        self.places = {layer: place for place, layer in enumerate(self.layers or range(self.num_layers))}
        total = self.heads_before(len(self.places))
        self.kept = [
            torch.empty(one.num_phrases, total, len(one.columns), device=one.columns.device) for one in self.selections
        ]

    def heads_before(self, place: int) -> int:
        """How many heads the first ``place`` of the layers keep."""
        return place * self.num_heads if self.heads is None else sum(len(self.heads[index]) for index in range(place))

    def heads_of(self, layer: int) -> Tensor | None:
        """(K,) int64 heads that a layer keeps, None for all."""
        return None if self.heads is None else self.heads[self.places[layer]]

    def maps(self, sample: int) -> Tensor:
        """(P, heads kept in all layers, C) fp32 attention of one sample, averaged over the tokens of each phrase."""
        return self.kept[sample]

    def report(self, layer: int, maps: list[Tensor]) -> None:
        if layer in self.reported:
            raise RuntimeError(f'layer {layer} reported its attention twice: run one forward pass per capture')
        self.reported.add(layer)
        first = self.heads_before(self.places[layer])
        for kept, own in zip(self.kept, maps, strict=True):
            kept[:, first : first + own.shape[1]] = own
