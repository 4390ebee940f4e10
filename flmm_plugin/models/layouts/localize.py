"""The decoder's inputs alone, of a vision tower whose attention is switched off.

Where a patch attends to no other, an image token depends on its own patch and on nothing else, whatever the weights:
what a token looks at can then be told exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from flmm_plugin.models.capture.hidden_states import find_decoder


class LocalizedAttention(TorchFunctionMode):
    """Inside, attention with as many queries as keys hands on the values: each token attends to itself."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            query, key, value = (*args, *(kwargs[name] for name in ('query', 'key', 'value') if name in kwargs))[:3]
            if query.shape[-2] == key.shape[-2]:
                groups = query.shape[-3] // value.shape[-3]
                return value if groups == 1 else value.repeat_interleave(groups, dim=-3)
        return func(*args, **kwargs)


class _Reached(Exception):
    """The decoder's inputs are known: the rest of the pass is not needed."""


@contextmanager
def _stop_at_decoder(model: Any) -> Iterator[list[Tensor]]:
    seen: list[Tensor] = []
    decoder: Any = find_decoder(model, model.config.get_text_config())

    def hook(module: Any, args: Any, kwargs: Any) -> None:
        # A decoder that puts the image in by itself (Chameleon) is let go on to its first layer.
        found = kwargs.get('inputs_embeds') if module is decoder else (*args, kwargs.get('hidden_states'))[0]
        if found is not None:
            seen.append(found)
            raise _Reached

    handles = [module.register_forward_pre_hook(hook, with_kwargs=True) for module in (decoder, decoder.layers[0])]
    try:
        yield seen
    except _Reached:
        pass
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def decoder_inputs(lmm: Any, picture: Tensor, localized: bool) -> Tensor:
    """(N, D) fp32 inputs of the decoder for a prompt with a uint8 picture (3, H, W)."""
    sample = lmm.prepare(picture, 'a')
    with _stop_at_decoder(lmm.model) as seen, LocalizedAttention() if localized else nullcontext():
        lmm.model(**lmm.collate([sample]), use_cache=False)
    return seen[0][0].float().cpu()
