"""What has been reported of the attention that is kept.

Shape shorthand: B samples, H query heads, G key/value heads, N keys, Q queries, D head width, P phrases, C image
columns, K heads kept in a layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from flmm_plugin.models.capture.selection import AttentionSelection, attend_selected

#: Bytes of queries and keys that may wait, by kind of device, to be looked at together: a GPU takes longer to start the
#: dozen small kernels of a layer than to run them. A CPU gains nothing.
ROOM = {'cuda': 128 * 2**20}


@dataclass(frozen=True)
class AttendedLayer:
    """What a layer attended with.

    ``query`` (B, H, Q, D) and ``key`` (B, G, N, D), after rotary embedding; ``mask`` None, or (1 or B, 1 or H, Q, >=N),
    additive float or bool (True = may attend); ``causal``: later keys are hidden where there is no mask.
    """

    layer: int
    query: Tensor
    key: Tensor
    mask: Tensor | None
    scaling: float
    causal: bool

    def alike(self, other: AttendedLayer) -> bool:
        """Can both be looked at as one layer with the heads of both?"""
        shared = self.mask is other.mask and (self.mask is None or self.mask.shape[1] == 1)
        same = (self.query.shape, self.key.shape, self.key.device, self.scaling, self.causal)
        return shared and same == (other.query.shape, other.key.shape, other.key.device, other.scaling, other.causal)

    @property
    def size(self) -> int:
        return self.query.nbytes + self.key.nbytes


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
    waiting: list[AttendedLayer] = field(default_factory=list)
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

    def maps(self, sample: int) -> Tensor:
        """(P, heads kept in all layers, C) fp32 attention of one sample, averaged over the tokens of each phrase."""
        self.look()  # a pass that was broken off leaves layers waiting too
        return self.kept[sample]

    def add(self, one: AttendedLayer) -> None:
        """Look at a layer, at once or together with those after it."""
        if len(one.query) != len(self.selections):
            raise ValueError(f'{len(self.selections)} selections for a batch of {len(one.query)} samples')
        if one.query.shape[1] != self.num_heads:
            raise NotImplementedError(
                f'layer {one.layer} has {one.query.shape[1]} attention heads, others have {self.num_heads}: layers of '
                'different numbers of heads are not captured'
            )
        if one.layer in self.reported:
            raise RuntimeError(f'layer {one.layer} reported its attention twice: run one forward pass per capture')
        self.reported.add(one.layer)
        if self.waiting:
            last = self.waiting[-1]
            if not one.alike(last) or self.places[one.layer] != self.places[last.layer] + 1:
                self.look()
        self.waiting.append(one)
        if (len(self.waiting) + 1) * one.size > ROOM.get(one.key.device.type, 0):
            self.look()

    def look(self) -> None:
        """Compute the maps of all layers that wait."""
        if not self.waiting:
            return
        layers, self.waiting = self.waiting, []
        first = layers[0]
        # Alike layers are one with the heads of all: query heads stay with their keys.
        query, key = first.query, first.key
        if len(layers) > 1:
            query, key = (torch.cat(own, 1) for own in zip(*((one.query, one.key) for one in layers), strict=True))
        masks = [None] * len(query) if first.mask is None else first.mask.expand(len(query), -1, -1, -1)
        start = self.heads_before(self.places[first.layer])
        heads = None
        if self.heads is not None:
            own = [self.heads[self.places[one.layer]] for one in layers]
            heads = torch.cat([kept + index * self.num_heads for index, kept in enumerate(own)])
        with torch.autocast(query.device.type, enabled=False):
            for b, selection in enumerate(self.selections):
                maps = attend_selected(selection, query[b], key[b], masks[b], first.scaling, first.causal, heads)
                self.kept[b][:, start : start + maps.shape[1]] = maps
