"""Recording the hidden states of a few tokens, without keeping every layer's output of every token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from flmm_plugin.models.capture.around import surrounded
from flmm_plugin.models.capture.room import SMALL, room_for


@dataclass
class HiddenStates:
    """The hidden states of some tokens, ``kept`` (L, R, D); layers are added one after the other.

    ``places``: (R,) int64 of the tokens, counted through the samples of the batch. ``stream``: which of several is the
    layers' own, where they carry several, (S, B, N, D).
    """

    places: Tensor
    kept: Tensor
    stream: int = 0
    layers: int = 0
    waits: bool = True
    waiting: list[Tensor] = field(default_factory=list)
    room: int = 1

    def watch(self, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Add what a layer gives back, the first of several."""
        output = forward(*args, **kwargs)
        self.add(output if isinstance(output, Tensor) else output[0])
        return output

    def add(self, states: Tensor) -> None:
        if states.ndim == 4:  # several streams side by side (AltUp): the others are predicted from this one
            states = states[self.stream]
        if self.waiting and self.waiting[-1].device != states.device:
            self.take()
        if not self.waiting and self.waits and states.nbytes <= SMALL:
            self.room = room_for(3 * states.nbytes, states.device.type)  # a third of what layers of attention have
        self.waiting.append(states)
        if len(self.waiting) >= self.room:
            self.take()

    def take(self) -> None:
        """Take the rows of all layers that wait."""
        if not self.waiting:
            return
        waiting, self.waiting = self.waiting, []
        places = self.places.to(waiting[0].device)
        first, self.layers = self.layers, self.layers + len(waiting)
        if len(waiting) > 1:
            self.kept[first : self.layers] = torch.stack(waiting).flatten(1, 2).index_select(1, places)
        elif (waiting[0].device, waiting[0].dtype) == (self.kept.device, self.kept.dtype):
            torch.index_select(waiting[0].flatten(0, 1), 0, places, out=self.kept[first])
        else:
            self.kept[first] = waiting[0].flatten(0, 1).index_select(0, places)


def find_decoder(model: nn.Module, text_config: Any) -> nn.Module:
    """The stack of decoder layers of the text model: the module with ``layers``."""
    for module in model.modules():
        layers = getattr(module, 'layers', None)
        same = getattr(getattr(module, 'config', None), 'model_type', None) == text_config.model_type
        if same and isinstance(layers, nn.ModuleList) and len(layers) == text_config.num_hidden_layers:
            return module
    raise TypeError(f'{type(model).__name__} has no decoder of type {text_config.model_type!r} with .layers')


@contextmanager
def record_hidden_states(model: Any, decoder: Any, places: Tensor, waits: bool = True) -> Iterator[HiddenStates]:
    """Record, inside the block, what ``output_hidden_states=True`` would return, embeddings excluded.

    As there, the last entry is the final norm's output, the others are the layers' own.

    Args:
        decoder: of :func:`find_decoder`.
        places: see :class:`HiddenStates`.
        waits: may several layers be looked at together? Not where image tokens are among the places: some decoders add
            to those of a layer's results what the image shows, in place (Qwen3-VL).

    Raises:
        RuntimeError: when the block ends and a layer has not passed in this thread.
    """
    config, like = decoder.config, next(decoder.layers[-1].parameters())
    # Before the pass: in among its large tensors, what stays of each layer would hold up the memory they leave.
    kept = torch.empty(len(decoder.layers), len(places), config.hidden_size, dtype=model.dtype, device=like.device)
    recorded = HiddenStates(places, kept, getattr(config, 'altup_active_idx', 0), waits=waits)

    # What the decoder gives back is its last layer's output after the final norm, whatever that is called.
    with surrounded([*list(decoder.layers)[:-1], decoder], recorded.watch):
        yield recorded
    recorded.take()
    if recorded.layers != len(kept):
        raise RuntimeError(f'{recorded.layers} of {len(kept)} layers passed: run one forward pass in the same thread')
