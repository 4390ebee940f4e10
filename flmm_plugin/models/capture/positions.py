"""Where tokens stand that are read after an image, in the numbers that rotary embeddings count by.

Most LMMs count tokens. Some give an image fewer positions than it has tokens (multimodal rotary positions), or begin
at one; how far the words after an image are moved thereby they keep as a state of the model, which the next image
overwrites. Here it is kept with the keys and values that it belongs to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache

from flmm_plugin.models.capture.around import surrounded


class KeptTokens(DynamicCache):
    """Keys and values of all tokens of a text, in every layer, so that the text can be gone on from anywhere.

    ``shift``: () int64, the position of a token after the image less its place in the text, or (B, 1) where several
    texts lie side by side; None for zero.
    """

    shift: Tensor | None = None


@contextmanager
def positions_of(decoder: nn.Module, past: Cache) -> Iterator[None]:
    """Inside the block, tokens that go on from ``past`` in this thread stand where its own image puts them.

    When the decoder reads the image, its own positions are looked at; when it goes on, they are set.
    """

    def placed(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        tokens = kwargs['input_ids'] if kwargs.get('inputs_embeds') is None else kwargs['inputs_embeds']
        length, known = tokens.shape[1], past.get_seq_length()
        if not known:
            past.shift = shift_of(kwargs.get('position_ids'), length)
        elif past.shift is not None:
            places = torch.arange(known, known + length, device=tokens.device)
            kwargs['position_ids'] = (places + past.shift).expand(len(tokens), -1)
        return forward(*args, **kwargs)

    with surrounded([decoder], placed) if isinstance(past, KeptTokens) else nullcontext():
        yield


def shift_of(positions: Tensor | None, length: int) -> Tensor | None:
    """From the positions of ``length`` tokens, (B, N) or for each axis of rotary embeddings (A, B, N).

    Where there are four axes, the first one counts tokens for the mask.
    """
    return None if positions is None else positions[-3:].max() + 1 - length
