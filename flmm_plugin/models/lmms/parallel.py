"""Answers to several prompts at once: each image is read by itself, the answers grow together.

Shape shorthand: B prompts, M tokens of an answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Cache

from flmm_plugin.models.capture.layers import CHUNKED, layer_kinds
from flmm_plugin.models.capture.positions import KeptTokens, positions_of
from flmm_plugin.models.lmms.compat import CHUNKS_BEGIN_WITH_TEXT, crop_cache, layer_tensors, set_layer_tensors
from flmm_plugin.models.lmms.reading import ReadingLMM
from flmm_plugin.structures import LMMInputs

#: Tokens that there is room for where a caller does not say how long an answer may be.
ROOM = 128


class RoomyTokens(KeptTokens):
    """Keys and values with room for those to come: they are written where they stay, while transformers' own are copied
    whole for each token that is added.

    Args:
        room: tokens that may come before all are copied once more.
    """

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self._whole: dict[int, tuple[Tensor, Tensor]] = {}

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any) -> Any:
        if len(self) <= layer_idx:
            super().update(key_states, value_states, layer_idx, *args, **kwargs)
            return layer_tensors(self)[layer_idx]
        known = self.get_seq_length(layer_idx)
        end = known + key_states.shape[-2]
        if layer_idx not in self._whole or self._whole[layer_idx][0].shape[-2] < end:
            keys, values = (
                F.pad(kept[..., :known, :], (0, 0, 0, end - known + self.room))
                for kept in layer_tensors(self)[layer_idx]
            )
            self._whole[layer_idx] = keys, values
        whole = self._whole[layer_idx]
        for kept, further in zip(whole, (key_states, value_states), strict=True):
            kept[..., known:end, :] = further
        keys, values = (kept[..., :end, :] for kept in whole)
        set_layer_tensors(self, layer_idx, keys, values)
        return keys, values


@torch.no_grad()
def answer_together(
    lmm: ReadingLMM, prompts: Sequence[LMMInputs], **options: Any
) -> list[tuple[list[int], KeptTokens | None]]:
    """For each prompt the ids that the LMM's own ``generate`` goes on with, and the prompt's keys and values.

    Prompts are read one after the other, because pixels and tokens of one fill a machine; their keys and values are
    laid side by side, the shorter ones padded on the left, and ``generate`` adds a token to each at a time. An LMM that
    cannot go on from keys and values answers one prompt after the other and gives none back.

    Args:
        options: those of ``generate``, for one sequence a prompt.
    """
    if not lmm.keeps_tokens:
        return [(trim(lmm, lmm.answer(prompt, **options)[0, len(prompt.input_ids) :]), None) for prompt in prompts]
    if len(prompts) > 1 and CHUNKED in layer_kinds(lmm.text_config) and not CHUNKS_BEGIN_WITH_TEXT:
        return [answer_together(lmm, [prompt], **options)[0] for prompt in prompts]
    pasts = [lmm.read(prompt) for prompt in prompts]
    if len(prompts) == 1:
        sequence = lmm.answer(prompts[0], pasts[0], len(prompts[0].input_ids) - 1, **options)
        return [(trim(lmm, sequence[0, len(prompts[0].input_ids) :]), pasts[0])]
    lengths = [len(prompt.input_ids) for prompt in prompts]
    longest = max(lengths)
    together = side_by_side(pasts, lengths, options.get('max_new_tokens') or ROOM)
    crop_cache(together, longest - 1)  # `generate` wants something to read
    padding = next(iter({0, 1} - {lmm.image_token_id}))
    ids = torch.full((len(prompts), longest), padding)
    seen = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - lengths[row] :] = prompt.input_ids
        seen[row, longest - lengths[row] :] = 1
    with positions_of(lmm.decoder, together):
        read = dict(input_ids=ids.to(lmm.device), attention_mask=seen.to(lmm.device), past_key_values=together)
        sequences = lmm.model.generate(**read, **lmm.refusing(options))
    answers = [trim(lmm, sequence) for sequence in sequences[:, longest:]]
    return list(zip(answers, taken_apart(together, pasts, lengths), strict=True))


def side_by_side(pasts: Sequence[KeptTokens], lengths: Sequence[int], room: int) -> KeptTokens:
    """One cache of B texts, whose last tokens stand side by side; what is before a shorter one's first is padding.

    ``room``: how many tokens are likely to follow.
    """
    longest, joined = max(lengths), RoomyTokens(room)
    for layer, kept in enumerate(zip(*(layer_tensors(past) for past in pasts), strict=True)):
        keys, values = (
            torch.cat([F.pad(own, (0, 0, longest - length, 0)) for own, length in zip(tensors, lengths, strict=True)])
            for tensors in zip(*kept, strict=True)
        )
        joined.update(keys, values, layer)
    moved = [
        (0 if past.shift is None else int(past.shift)) - (longest - length)
        for past, length in zip(pasts, lengths, strict=True)
    ]
    joined.shift = torch.tensor(moved, device=pasts[0].shift.device if pasts[0].shift is not None else None)[:, None]
    return joined


def taken_apart(joined: Cache, pasts: Sequence[KeptTokens], lengths: Sequence[int]) -> list[KeptTokens]:
    """The prompts' own keys and values out of what :func:`side_by_side` made, as views."""
    longest, own = max(lengths), [KeptTokens() for _ in pasts]
    for layer, (keys, values) in enumerate(layer_tensors(joined)):
        for row, (past, length) in enumerate(zip(own, lengths, strict=True)):
            part = slice(longest - length, longest)
            past.update(keys[row : row + 1, :, part], values[row : row + 1, :, part], layer)
    for past, before in zip(own, pasts, strict=True):
        past.shift = before.shift
    return own


def trim(lmm: ReadingLMM, ids: Tensor) -> list[int]:
    """An answer (M,) up to its end-of-sequence token; what follows pads it to the length of others."""
    ends = lmm.model.generation_config.eos_token_id
    ends = set(ends) if isinstance(ends, Iterable) else {ends}
    found = ids.tolist()
    end = next((place for place, token in enumerate(found) if token in ends), len(found))
    return found[: end + 1]
