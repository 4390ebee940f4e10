"""The few places where transformers' releases from 4.48 to 5.x differ in how a model is loaded and called."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from packaging.version import Version
from torch import Tensor
from transformers import Cache, __version__

try:
    from transformers.masking_utils import chunked_overlay
except ImportError:  # before 4.53
    chunked_overlay = None

TRANSFORMERS = Version(__version__)
#: Do chunks of attention begin where a text does that is padded on the left? In 4.53 they begin with the padding.
CHUNKS_BEGIN_WITH_TEXT = chunked_overlay is not None and 'left_padding' in inspect.signature(chunked_overlay).parameters


def dtype_argument(dtype: str) -> dict[str, str]:
    """``from_pretrained``'s dtype argument under its name in this release."""
    return {'dtype' if Version('4.56') <= TRANSFORMERS else 'torch_dtype': dtype}


def last_logits_only(model: Any) -> dict[str, Any]:
    """Ask for one row of logits: grounding needs none, and all of them are (N, vocabulary).

    Layers that share their keys (Gemma 4) leave out all other rows where a number asks for it, not where an index does.
    """
    accepted = inspect.signature(model.forward).parameters
    shared = getattr(model.config.get_text_config(), 'num_kv_shared_layers', 0)
    rows = torch.tensor([-1]) if shared else 1
    return {name: rows for name in ('logits_to_keep', 'num_logits_to_keep') if name in accepted}


def needs_cache(text_config: Any) -> bool:
    """Do layers share keys through the cache alone? Without one, those of 4.x compute keys of their own."""
    return Version('5') > TRANSFORMERS and getattr(text_config, 'num_kv_shared_layers', 0) > 0


def crop_cache(past: Cache, length: int) -> None:
    """Keep the first ``length`` tokens. The newest releases count only what is to be removed."""
    surplus = past.get_seq_length() - length
    if surplus > 0:
        past.crop(-surplus)


def layer_tensors(past: Cache) -> list[tuple[Tensor, Tensor]]:
    """Keys and values of each layer, (B, heads, tokens, width) each."""
    if hasattr(past, 'layers'):
        return [(layer.keys, layer.values) for layer in past.layers]
    return list(zip(past.key_cache, past.value_cache, strict=True))


def set_layer_tensors(past: Cache, layer: int, keys: Tensor, values: Tensor) -> None:
    """Put other keys and values in place of a layer's."""
    if hasattr(past, 'layers'):
        past.layers[layer].keys, past.layers[layer].values = keys, values
    else:
        past.key_cache[layer], past.value_cache[layer] = keys, values
