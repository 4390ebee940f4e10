"""The last decoder layer without the work that nobody reads.

What grounding keeps of it are the attention and the hidden states of a few tokens, for which it needs all keys and
values. The other tokens' queries, attention and MLP, most of the layer, feed only logits that are thrown away.

Shape shorthand: B samples, H query heads, G key/value heads, N keys, Q queries, D head width, T tokens that are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from flmm_plugin.models.capture.around import surrounded


@contextmanager
def skip_unread_rows(decoder: Any, places: Tensor) -> Iterator[None]:
    """Inside the block, let the last layer compute the queries, the attention's output and the MLP of some rows alone.

    They count as zero elsewhere, and in other threads nothing changes. Layers of another make, without modules of these
    names, compute everything.

    Args:
        decoder: the stack of the language model's layers.
        places: (R,) int64 of the rows whose hidden states are read, counted through the samples of the batch.
    """

    def some(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        # What else a module is told of each token (experts for images) would have to be gathered too.
        if not args or any(isinstance(value, Tensor) for value in (*args[1:], *kwargs.values())):
            return forward(*args, **kwargs)
        states = args[0]
        output = forward(states.flatten(0, -2).index_select(0, places.to(states.device))[None], *args[1:], **kwargs)
        # An MLP of experts returns its router's logits too. Heads x head width need not be the hidden width.
        made: Tensor = output[0] if isinstance(output, tuple) else output
        whole = made.new_zeros(states.shape[:-1].numel(), made.shape[-1])
        whole.index_copy_(0, places.to(made.device), made.view(len(places), -1))
        whole = whole.view(*states.shape[:-1], -1)
        return (whole, *output[1:]) if isinstance(output, tuple) else whole

    layer = decoder.layers[-1]
    attention = getattr(layer, 'self_attn', None)
    parts = [getattr(attention, 'q_proj', None), getattr(attention, 'o_proj', None), getattr(layer, 'mlp', None)]
    with surrounded([part for part in parts if part is not None], some):
        yield


def attend_rows(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, places: Tensor, visible: Tensor, **options: Any
) -> Tensor:
    """transformers' SDPA for some rows alone, zero elsewhere: (B, Q, H, D).

    Args:
        query: (B, H, Q, D), and ``key`` and ``value`` (B, G, N, D). With a cache the Q queries are the last of N.
        places: (B, H, T, D) of :meth:`SelectedRows.places`; any row may come twice.
        visible: (B, 1 or H, T, N), what is added to their scores.
        options: ``dropout`` and ``scaling`` of transformers' function.
    """
    rows = query.gather(2, places)
    attended = sdpa_attention_forward(module, rows, key, value, visible, is_causal=False, **options)[0]
    whole = attended.new_zeros(len(query), query.shape[2], *attended.shape[2:])
    return whole.scatter_(1, places[:, :1, :, :1].transpose(1, 2).expand_as(attended), attended)
