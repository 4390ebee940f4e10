"""Recording the hidden states of a few tokens, without keeping every layer's output of every token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass
class HiddenStates:
    """``kept[b]``: (L, T, D) of sample ``b``, for the ``rows`` asked for; layers are added one after the other.

    ``stream``: which of several is the layers' own, where they carry several, (S, B, N, D).
    """

    rows: Sequence[Tensor]
    kept: list[Tensor]
    stream: int = 0
    layers: int = 0

    def add(self, states: Tensor) -> None:
        if states.ndim == 4:  # several streams side by side (AltUp): the others are predicted from this one
            states = states[self.stream]
        for b, (rows, kept) in enumerate(zip(self.rows, self.kept, strict=True)):
            kept[self.layers] = states[b, rows.to(states.device)]
        self.layers += 1

    def stacked(self, sample: int) -> Tensor:
        """(L, T, D)"""
        return self.kept[sample]


def find_decoder(model: nn.Module, text_config: Any) -> nn.Module:
    """The stack of decoder layers of the text model: the module with ``layers``."""
    for module in model.modules():
        layers = getattr(module, 'layers', None)
        same = getattr(getattr(module, 'config', None), 'model_type', None) == text_config.model_type
        if same and isinstance(layers, nn.ModuleList) and len(layers) == text_config.num_hidden_layers:
            return module
    raise TypeError(f'{type(model).__name__} has no decoder of type {text_config.model_type!r} with .layers')


@contextmanager
def record_hidden_states(model: Any, text_config: Any, rows: Sequence[Tensor]) -> Iterator[HiddenStates]:
    """Record, inside the block, what ``output_hidden_states=True`` would return, embeddings excluded.

    As there, the last entry is the final norm's output, the others are the layers' own.
    """
    decoder: Any = find_decoder(model, text_config)
    like = next(decoder.layers[-1].parameters())
    # Before the pass: in among its large tensors, what stays of each layer would hold up the memory they leave.
    shapes = [(len(decoder.layers), len(own), text_config.hidden_size) for own in rows]
    kept = [torch.empty(*shape, dtype=model.dtype, device=like.device) for shape in shapes]
    recorded = HiddenStates(rows, kept, getattr(text_config, 'altup_active_idx', 0))

    def hook(module: nn.Module, args: Any, output: Any) -> None:
        recorded.add(output if isinstance(output, Tensor) else output[0])

    # What the decoder gives back is its last layer's output after the final norm, whatever that is called.
    handles = [module.register_forward_hook(hook) for module in [*decoder.layers[:-1], decoder]]
    try:
        yield recorded
    finally:
        for handle in handles:
            handle.remove()
