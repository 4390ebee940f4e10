"""What grounding keeps of a frozen LMM's forward pass, kept on disk: every epoch would compute the same.

Shape shorthand: P phrases, C maps, L layers, T phrase tokens, D hidden width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from flmm_plugin.models.caches.tensor_folder import TensorFolder
from flmm_plugin.models.numbers import check_lmm_numbers
from flmm_plugin.models.weights.frozen import fingerprint
from flmm_plugin.structures import LMMInputs, LMMOutputs

FP16_MAX = torch.finfo(torch.float16).max
Compute = Callable[[Sequence[LMMInputs]], list[LMMOutputs]]


class CachedModel(Protocol):
    """What the cache asks of an LMM: its weights, which heads it keeps, and how much it makes of a sample."""

    model: Any
    heads: tuple[int, ...] | None

    @property
    def hidden_size(self) -> int: ...

    @property
    def num_layers(self) -> int: ...

    @property
    def num_maps(self) -> int: ...


class OutputCache:
    """Outputs of one LMM in a folder, by a sample's content and by the LMM's weights, heads and precision.

    In half precision, unless ``exact``, they are rounded from the first time on, so that all epochs see the same.
    """

    def __init__(self, folder: str | Path, lmm: CachedModel, exact: bool = False) -> None:
        self.folder = TensorFolder(folder)
        self._lmm = lmm
        self._exact = exact

    def fetch(self, samples: Sequence[LMMInputs], compute: Compute) -> list[LMMOutputs]:
        """The outputs of each sample, read or else computed, all that are missing in one call, and written."""
        about = f'{self._weights} {self._lmm.heads} {self._lmm.model.dtype} {torch.is_autocast_enabled()} {self._exact}'
        keys = [_key(sample, about) for sample in samples]
        found = {key: packed for key in keys if (packed := self.folder.get(key)) is not None}
        missing = {key: sample for key, sample in zip(keys, samples, strict=True) if key not in found}
        computed = compute(list(missing.values())) if missing else []
        for key, outputs in zip(missing, computed, strict=True):
            check_lmm_numbers(outputs, self._lmm.model.dtype)  # else they would come back in every epoch
            found[key] = _pack_exactly(outputs) if self._exact else _pack(outputs)
            self.folder.put(key, found[key])
        return [_unpack(found[key], next(self._lmm.model.parameters())) for key in keys]

    def sample_bytes(self, sample: LMMInputs) -> int:
        """About what one sample takes on disk."""
        grid, lmm = sample.finest_grid, self._lmm
        map_bytes = grid.height * grid.width * (4 if self._exact else 2) + 4
        state_bytes = lmm.hidden_size * (lmm.model.dtype.itemsize if self._exact else 2)
        return sample.num_phrases * lmm.num_maps * map_bytes + lmm.num_layers * len(sample.phrase_rows) * state_bytes

    @cached_property
    def _weights(self) -> str:
        return fingerprint(self._lmm.model)


def _key(sample: LMMInputs, about: str) -> str:
    digest = blake2b(about.encode(), digest_size=20)
    tensors = dict(ids=sample.input_ids, phrases=sample.phrase_ids, branches=sample.branch_ids, **sample.vision)
    tensors |= sample.per_token
    for name, tensor in sorted(tensors.items()):
        if tensor is not None:
            digest.update(f'{name} {tensor.dtype} {tuple(tensor.shape)}'.encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _pack(outputs: LMMOutputs) -> dict[str, Tensor]:
    """Half precision. A map is divided by its largest value, for attention is too small for fp16's range."""
    scale = outputs.attention_maps.amax(dim=(-2, -1), keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
    hidden = outputs.hidden_states
    return dict(
        maps=(outputs.attention_maps / scale).half(),
        scale=scale,
        # Some LMMs have hidden states beyond the range of fp16: they stay as they are.
        hidden=hidden.half() if hidden.dtype == torch.float32 and hidden.abs().amax() <= FP16_MAX else hidden,
        phrase_ids=outputs.phrase_ids,
    )


def _pack_exactly(outputs: LMMOutputs) -> dict[str, Tensor]:
    return dict(maps=outputs.attention_maps, hidden=outputs.hidden_states, phrase_ids=outputs.phrase_ids)


def _unpack(packed: dict[str, Tensor], like: Tensor) -> LMMOutputs:
    """On the device of ``like``, hidden states in its dtype."""
    tensors = {name: tensor.to(like.device, non_blocking=True) for name, tensor in packed.items()}
    maps = tensors['maps'].float()
    return LMMOutputs(
        attention_maps=maps * tensors['scale'] if 'scale' in tensors else maps,
        hidden_states=tensors['hidden'].to(like.dtype),
        phrase_ids=packed['phrase_ids'],
    )
