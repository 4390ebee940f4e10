"""The last decoder layer without the work that nobody reads.

What grounding keeps of it are the attention and the hidden states of a few tokens, for which it needs all keys and
values. The other tokens' queries, attention and MLP, most of the layer, feed only logits that are thrown away.

Shape shorthand: B samples, H query heads, G key/value heads, N keys, Q queries, D head width, T tokens that are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from flmm_plugin.models.capture.hidden_states import find_decoder


@contextmanager
def skip_unread_rows(model: nn.Module, text_config: Any, rows: Sequence[Tensor]) -> Iterator[None]:
    """Inside the block, let the last layer compute the queries, the attention's output and the MLP of some rows alone.

    They count as zero elsewhere. Layers of another make, without modules of these names, compute everything.

    Args:
        rows: for each sample of the batch the (T,) int64 positions whose hidden states are read.
    """
    decoder: Any = find_decoder(model, text_config)
    layer = decoder.layers[-1]
    attention = getattr(layer, 'self_attn', None)
    parts = [getattr(attention, 'q_proj', None), getattr(attention, 'o_proj', None), getattr(layer, 'mlp', None)]
    samples = torch.cat([torch.full_like(own, index) for index, own in enumerate(rows)])
    positions = torch.cat(list(rows))
    shape: torch.Size | None = None

    def gather(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
        nonlocal shape
        # What else a module is told of each token (experts for images) would have to be gathered too.
        told = any(isinstance(value, Tensor) for value in (*args[1:], *kwargs.values()))
        shape = None if told or not args else args[0].shape
        if shape is None:
            return None
        return (args[0][None, samples.to(args[0].device), positions.to(args[0].device)], *args[1:]), kwargs

    def scatter(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        if shape is None:
            return None
        # An MLP of experts returns its router's logits too. Heads x head width need not be the hidden width.
        made: Tensor = output[0] if isinstance(output, tuple) else output
        whole = made.new_zeros(*shape[:-1], made.shape[-1])
        whole[samples.to(made.device), positions.to(made.device)] = made.view(len(samples), -1)
        return (whole, *output[1:]) if isinstance(output, tuple) else whole

    handles = []
    for part in parts:
        if part is not None:
            handles += [part.register_forward_pre_hook(gather, with_kwargs=True), part.register_forward_hook(scatter)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def attend_rows(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    rows: Sequence[Tensor],
    causal: bool,
    **options: Any,
) -> Tensor:
    """transformers' SDPA for the given rows alone, zero elsewhere: (B, Q, H, D).

    Args:
        query: (B, H, Q, D), and ``key`` and ``value`` (B, G, N, D). With a cache the Q queries are the last of N.
        mask: None, or (1 or B, 1 or H, Q, >=N), additive float or bool (True = may attend).
        rows: for each sample the (T,) int64 positions among the Q queries.
        causal: hide the keys after each row where ``mask`` is None.
        options: ``dropout`` and ``scaling`` of transformers' function.
    """
    # Under autocast the values have the dtype of the result; rotary embeddings may have left queries in fp32.
    attended = value.new_zeros(query.shape[0], query.shape[2], query.shape[1], value.shape[-1])
    masks = None if mask is None else mask.expand(len(query), -1, -1, -1)
    num_keys = key.shape[2]
    for b, own in enumerate(rows):
        one, own = slice(b, b + 1), own.to(query.device)
        visible = None if masks is None else masks[one, :, own, :num_keys]
        if visible is None and causal:
            last = own + num_keys - query.shape[2]
            visible = (torch.arange(num_keys, device=own.device) <= last[:, None])[None, None]
        attended[b, own] = sdpa_attention_forward(
            module, query[one, :, own], key[one], value[one], visible, is_causal=False, **options
        )[0][0]
    return attended
