"""Streaming capture of the attention that phrase tokens pay to image tokens.

While a forward pass runs inside :func:`select_attention`, every attention layer runs the ordinary SDPA kernel and
computes, besides, the softmaxed attention of the selected rows only. The full ``(N, N)`` matrix never exists.

Shape shorthand: B samples, H query heads, G key/value heads, N keys, Q queries, D head width, T phrase tokens,
K heads kept in a layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from flmm_plugin.models.capture.attended import AttendedLayer
from flmm_plugin.models.capture.captured import AttentionCapture
from flmm_plugin.models.capture.last_layer import attend_rows
from flmm_plugin.models.capture.selection import AttentionSelection

try:
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
except ImportError:  # before 4.53 the modelling code builds its masks itself
    sdpa_mask = None

#: Does transformers ask a function for every mask (from 4.53)? Then it tells what is causal and no more.
MASKS_BY_FUNCTION = sdpa_mask is not None
# transformers picks kernels and checks by substring: it must contain "sdpa", and neither "flash" nor "/".
ATTENTION_NAME = 'flmm_sdpa'

#: What changes attention, by the argument of transformers' function, and is not computed here.
UNKNOWN = {'softcap': 'capped logits', 's_aux': 'sinks', 'position_bias': 'a bias by position'}

_active: ContextVar[AttentionCapture | None] = ContextVar('flmm_attention_capture', default=None)


@contextmanager
def select_attention(
    selections: Sequence[AttentionSelection],
    num_layers: int,
    num_heads: int,
    *,
    heads: Mapping[int, Tensor] | None = None,
    unmasked: bool = False,
    read_alone: bool = False,
    layers: Sequence[int] | None = None,
    masks: Sequence[Tensor] | None = None,
    device: torch.device | None = None,
) -> Iterator[AttentionCapture]:
    """Capture the selected attention of the forward pass run inside the block.

    Args:
        selections: one entry a sample of the batch.
        num_layers: how many layers there are.
        num_heads: attention heads of a layer.
        heads: for each of the layers that report the (K,) int64 heads to keep, all by default.
        unmasked: padding is on the right, where no token that counts sees it: none of it is hidden. Where causality is
            all that is left, there is no mask then; with one, the kernels compute the hidden half too.
        read_alone: the last layer is asked for the results of the selected rows alone.
        layers: which of them attend and must report; all by default.
        masks: for each layer what may be seen, bool (1, 1, Q, N), in place of what transformers makes.
        device: where the maps are kept, by default with the columns. Selections may be anywhere: they are moved.

    Raises:
        RuntimeError: when the block ends and a layer did not report.
    """
    capture = AttentionCapture(selections, num_layers, num_heads, heads, unmasked, read_alone, layers, masks, device)
    token = _active.set(capture)
    try:
        yield capture
    finally:
        _active.reset(token)
    missing = sorted(capture.places.keys() - capture.reported)
    if missing:
        raise RuntimeError(
            f'attention layers {missing} of {num_layers} did not report: this LMM does not route them through '
            f"transformers' attention interface. Load it with attn_implementation={ATTENTION_NAME!r} for the text "
            'model, or use a transformers release whose modelling code supports the interface.'
        )


def capturing_sdpa(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """The attention function registered with transformers: SDPA, plus a report to the active capture.

    ``query`` (B, H, Q, D), ``key`` and ``value`` (B, G, N, D); the signature is transformers'.
    """
    capture = _active.get()
    if capture is not None:
        for name in UNKNOWN.keys() & kwargs.keys():
            if kwargs[name] is not None:
                raise NotImplementedError(f'attention with {UNKNOWN[name]} ({name}) cannot be captured exactly')
        layer = cast(int, module.layer_idx)
        if capture.masks is not None:
            attention_mask = capture.shared.mask(capture.masks[layer], query.device)
        elif capture.unmasked and not MASKS_BY_FUNCTION:
            attention_mask = None
        causal = getattr(module, 'is_causal', True) if is_causal is None else is_causal
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        attended = AttendedLayer(layer, query, key, attention_mask, scale, causal)
        capture.add(attended)
        if capture.read_alone and layer == capture.num_layers - 1:
            places, visible = capture.shared.places(attended), capture.shared.visible(attended)
            return attend_rows(module, query, key, value, places, visible, dropout=dropout, scaling=scaling), None
    return sdpa_attention_forward(
        module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, is_causal=is_causal, **kwargs
    )


def capturing_mask(*args: Any, **kwargs: Any) -> Tensor | None:
    """The mask function registered with transformers: SDPA's, as the active capture asks for it."""
    capture = _active.get()
    if capture is not None and capture.masks is not None:
        return None
    if capture is not None and capture.unmasked:
        kwargs['attention_mask'] = None
    return sdpa_mask(*args, **kwargs)


def register_attention() -> None:
    """Make :data:`ATTENTION_NAME` known to transformers (4.48 to 5.x); called on import."""
    if isinstance(ALL_ATTENTION_FUNCTIONS, dict):  # up to 4.50
        ALL_ATTENTION_FUNCTIONS[ATTENTION_NAME] = capturing_sdpa
    else:
        ALL_ATTENTION_FUNCTIONS.register(ATTENTION_NAME, capturing_sdpa)
    if MASKS_BY_FUNCTION:
        # Without it the mask of an unknown attention function silently becomes None.
        ALL_MASK_ATTENTION_FUNCTIONS.register(ATTENTION_NAME, capturing_mask)


register_attention()
