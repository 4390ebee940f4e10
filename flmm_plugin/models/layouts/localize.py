"""The decoder's inputs alone, of a vision tower whose attention is switched off.

Where a patch attends to no other, an image token depends on its own patch and on nothing else, whatever the weights:
what a token looks at can then be told exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from flmm_plugin.models.capture.hidden_states import find_decoder


class LocalizedTower(TorchFunctionMode):
    """Inside, no place of a picture learns of its neighbours.

    Attention hands on the value of the token that asks, and a convolution sees of its window what lies under its own
    output: as many rows and columns as it strides over.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            query, key, value = (*args, *(kwargs[name] for name in ('query', 'key', 'value') if name in kwargs))[:3]
            own = own_values(query.shape[-2], key.shape[-2], value)
            if own is not None:
                groups = query.shape[-3] // value.shape[-3]
                return own if groups == 1 else own.repeat_interleave(groups, dim=-3)
        if func is F.conv2d:
            return func(*own_window(*args, **kwargs))
        return func(*args, **kwargs)


def own_values(queries: int, keys: int, value: Tensor) -> Tensor | None:
    """For each of so many ``queries`` the value (..., keys, D) of its own place; None where they stand elsewhere.

    Keys may be those of a square map that was made smaller.
    """
    if queries == keys:
        return value
    side, smaller = math.isqrt(queries), math.isqrt(keys)
    if side * side != queries or smaller * smaller != keys or side % smaller:
        return None
    near = torch.arange(side) * smaller // side
    return value[..., (near[:, None] * smaller + near).flatten().to(value.device), :]


def own_window(
    image: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | str | Sequence[int] = 0,
    *others: Any,
    **named: Any,
) -> tuple[Any, ...]:
    """The arguments of ``conv2d``, its kernel (O, I, h, w) empty but for what lies under the output."""
    own = torch.zeros_like(weight)
    ranges = []
    for axis, size in enumerate(weight.shape[2:]):
        step = stride if isinstance(stride, int) else stride[axis % len(stride)]
        before = (size - step) // 2  # a picture that was padded beforehand, as little as possible
        if not isinstance(padding, str):
            before = (padding if isinstance(padding, int) else padding[axis % len(padding)]) or before
        ranges.append(slice(max(0, min(before, size - 1)), max(0, before) + step))
    own[:, :, ranges[0], ranges[1]] = weight[:, :, ranges[0], ranges[1]]
    own /= own.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None, None]  # else nothing is left of it in the end
    return (
        image,
        own,
        None,
        stride,
        padding,
        *others,
        *(named[name] for name in ('dilation', 'groups') if name in named),
    )


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
    with _stop_at_decoder(lmm.model) as seen, LocalizedTower() if localized else nullcontext():
        lmm.model(**lmm.collate([sample]), use_cache=False)
    return seen[0][0].float().cpu()
