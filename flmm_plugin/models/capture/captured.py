"""What has been reported of the attention that is kept.

Shape shorthand: B samples, H query heads, G key/value heads, N keys, Q queries, D head width, T phrase tokens,
P phrases, C image columns, K heads kept in a layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from flmm_plugin.models.capture.attended import AttendedLayer, beside
from flmm_plugin.models.capture.room import SMALL, room_for
from flmm_plugin.models.capture.selection import AttentionSelection, attend_selected
from flmm_plugin.models.capture.shared import SharedByLayers

#: Bytes of scores that are computed together, by kind of device. Others look at one sample after the other.
SCORES = {'cuda': 256 * 2**20}


@dataclass
class AttentionCapture:
    """What the layers reported: ``kept[b]`` is (P, K of all layers, C) fp32.

    Its arguments are those of :func:`select_attention`. Room for all layers is made with the first: in among the large
    tensors of a pass, what stays of each layer would hold up the memory they leave.
    """

    selections: Sequence[AttentionSelection]
    num_layers: int
    num_heads: int
    heads: Mapping[int, Tensor] | None = None
    unmasked: bool = False
    read_alone: bool = False
    layers: Sequence[int] | None = None
    masks: Sequence[Tensor] | None = None
    device: torch.device | None = None
    reported: set[int] = field(default_factory=set)
    waiting: list[AttendedLayer] = field(default_factory=list)
    room: int = 1
    places: dict[int, int] = field(init=False)
    shared: SharedByLayers = field(init=False)

    def __post_init__(self) -> None:
        self.places = {layer: place for place, layer in enumerate(self.layers or range(self.num_layers))}
        self.shared = SharedByLayers(self.selections)

    @cached_property
    def kept(self) -> list[Tensor]:
        """Of each sample, made when the first layers are looked at: a GPU has begun by then."""
        total = self.heads_before(len(self.places))
        return [
            torch.empty(one.num_phrases, total, len(one.columns), device=self.device or one.columns.device)
            for one in self.selections
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
        batch, heads = one.query.shape[:2]
        if batch != len(self.selections):
            raise ValueError(f'{len(self.selections)} selections for a batch of {batch} samples')
        if heads != self.num_heads:
            raise NotImplementedError(
                f'layer {one.layer} has {heads} attention heads, others have {self.num_heads}: layers of '
                'different numbers of heads are not captured'
            )
        if one.layer in self.reported:
            raise RuntimeError(f'layer {one.layer} reported its attention twice: run one forward pass per capture')
        self.reported.add(one.layer)
        if one.query.nbytes > SMALL:
            one = one._replace(query=one.query.gather(2, self.shared.places(one)), taken=True)
        if self.waiting:
            last = self.waiting[-1]
            if not one.alike(last) or self.places[one.layer] != self.places[last.layer] + 1:
                self.look()
        if not self.waiting:
            self.room = room_for(one.query.nbytes + one.key.nbytes, one.key.device.type)
        self.waiting.append(one)
        if len(self.waiting) >= self.room:
            self.look()

    def look(self) -> None:
        """Compute the maps of all layers that wait."""
        layers, self.waiting = self.waiting, []
        if not layers or not any(len(one.rows) for one in self.selections):
            return
        first, device = layers[0], layers[0].query.device
        start = self.heads_before(self.places[first.layer])
        heads = None
        if self.heads is not None:
            own = [self.heads[self.places[one.layer]] for one in layers]
            heads = torch.cat([kept + index * self.num_heads for index, kept in enumerate(own)])
            if not len(heads):
                return
            heads = heads.to(device, non_blocking=True)
        # Alike layers are one with the heads of all: query heads stay with their keys.
        query = beside([one.query for one in layers])
        if not first.taken:
            query = query.gather(2, self.shared.places(first._replace(query=query)))
        key = beside([one.key for one in layers])
        layers.clear()  # makes room
        selected, visible = self.shared.rows(device), self.shared.visible(first)
        tensors = (query, key, visible, selected.weights)
        size = max(1, SCORES.get(device.type, 0) // (4 * query.shape[1] * visible.shape[2:].numel()))
        parts = [tensors] if size >= len(query) else zip(*(tensor.split(size) for tensor in tensors), strict=True)
        sample = 0
        for queries, keys, seen, weights in parts:
            with torch.autocast(device.type, enabled=False):
                averaged = weights @ attend_selected(queries, keys, seen, first.scaling, heads)
            for maps in averaged.transpose(1, 2).unbind():
                self.keep(maps, sample, start, selected.columns[sample])
                sample += 1

    def keep(self, maps: Tensor, sample: int, start: int, columns: Tensor) -> None:
        """Put the columns of (P or more, K, N) maps in their place, in one operation where they are on one device."""
        phrases = self.selections[sample].num_phrases
        place = self.kept[sample][:, start : start + maps.shape[1]]
        if place.device == maps.device:
            torch.index_select(maps[:phrases], 2, columns, out=place)
        else:
            place.copy_(maps[:phrases].index_select(2, columns))
