"""The last decoder layer without the work that nobody reads.

What grounding keeps of it are keys, attention and the hidden states of a few tokens. The other tokens' MLP, most of the
layer, feeds only logits that are thrown away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from flmm_plugin.models.hidden_states import find_decoder


@contextmanager
def skip_unread_rows(model: nn.Module, text_config: Any, rows: Sequence[Tensor]) -> Iterator[None]:
    """Inside the block, let the last layer's MLP compute the given rows alone and count as zero elsewhere.

    Args:
        rows: for each sample of the batch the (T,) int64 positions whose hidden states are read, on the LMM's device.
    """
    decoder: Any = find_decoder(model, text_config)
    mlp = getattr(decoder.layers[-1], 'mlp', None)
    if mlp is None:  # a layer of another make computes everything
        yield
        return
    samples = torch.cat([torch.full_like(own, index) for index, own in enumerate(rows)])
    positions = torch.cat(list(rows))
    shape = torch.Size()

    def gather(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        nonlocal shape
        shape = args[0].shape
        return (args[0][None, samples, positions], *args[1:])

    def scatter(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        whole = output.new_zeros(shape)
        whole[samples, positions] = output[0]
        return whole

    handles = [mlp.register_forward_pre_hook(gather), mlp.register_forward_hook(scatter)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
