"""Which layers an LMM's decoder has, and what each of them lets a token see.

Shape shorthand: N tokens, Q of them that are read after others whose keys and values are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

FULL, SLIDING, CHUNKED = 'full_attention', 'sliding_attention', 'chunked_attention'
#: The kinds whose weights for single tokens can be captured, and those that have none by design.
ATTENDING, STATES = (FULL, SLIDING, CHUNKED), ('linear_attention', 'conv', 'mamba', 'moe', 'mlp')


def layer_kinds(text_config: Any) -> tuple[str, ...]:
    """The kind of each layer under transformers' name; ``full_attention`` where the config says nothing."""
    kinds = getattr(text_config, 'layer_types', None)
    if kinds is None:
        window = getattr(text_config, 'sliding_window', None)
        slides = window is not None and getattr(text_config, 'use_sliding_window', None) is not False
        kinds = [SLIDING if slides else FULL] * text_config.num_hidden_layers
    return tuple(kinds)


def attention_layers(text_config: Any) -> tuple[int, ...]:
    """The layers that attend, and so report; convolutions and linear attention keep no weights for single tokens."""
    return tuple(i for i, kind in enumerate(layer_kinds(text_config)) if kind in ATTENDING)


def attends_everywhere(text_config: Any) -> bool:
    """Can keys and values of a text be kept, cropped and gone on from? Not where other layers keep a state."""
    return len(attention_layers(text_config)) == text_config.num_hidden_layers


def mask_layers(kinds: Sequence[str], text_config: Any, visible: Tensor, positions: Tensor) -> list[Tensor]:
    """For each layer the bool mask (1, 1, Q, N) of what may be attended to, the same tensor for all of a kind.

    Args:
        visible: (Q, N) bool, what a layer of full attention may see.
        positions: (N,) int64 place of each token in its own text: windows and chunks are counted by it.
    """
    own = positions[len(positions) - len(visible) :, None]
    masks = {FULL: visible}
    if SLIDING in kinds:
        masks[SLIDING] = visible & (positions > own - text_config.sliding_window)
    if CHUNKED in kinds:
        chunk = text_config.attention_chunk_size
        masks[CHUNKED] = visible & (positions // chunk == torch.div(own, chunk, rounding_mode='floor'))
    shaped = {kind: mask[None, None] for kind, mask in masks.items()}
    return [shaped[kind] for kind in kinds]
