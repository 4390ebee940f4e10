"""What grounding keeps of a frozen LMM's forward pass, kept on disk: every epoch would compute the same.

Shape shorthand: P phrases, C maps, L layers, T phrase tokens, D hidden width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b

import torch
from torch import Tensor

from flmm_plugin.models.tensor_folder import TensorFolder
from flmm_plugin.structures import LMMInputs, LMMOutputs

Compute = Callable[[Sequence[LMMInputs]], list[LMMOutputs]]


def fetch(
    folder: TensorFolder, about: str, like: Tensor, samples: Sequence[LMMInputs], compute: Compute
) -> list[LMMOutputs]:
    """The outputs of each sample, read from disk or else computed, all that are missing in one call, and written.

    Outputs are rounded to half precision from the first time on, so that all epochs see the same.

    Args:
        about: tells apart what computes: its weights, its heads, its precision.
        like: has the device of the outputs, and the dtype of their hidden states.
    """
    keys = [_key(sample, about) for sample in samples]
    found = {key: packed for key in keys if (packed := folder.get(key)) is not None}
    missing = {key: sample for key, sample in zip(keys, samples, strict=True) if key not in found}
    computed = compute(list(missing.values())) if missing else []
    for key, outputs in zip(missing, computed, strict=True):
        found[key] = _pack(outputs)
        folder.put(key, found[key])
    return [_unpack(found[key], like) for key in keys]


def packed_bytes(sample: LMMInputs, num_maps: int, num_layers: int, hidden_size: int) -> int:
    """About what one sample takes on disk."""
    grid = sample.finest_grid
    maps = sample.num_phrases * num_maps * (2 * grid.height * grid.width + 4)
    return maps + 2 * num_layers * len(sample.phrase_rows) * hidden_size


def _key(sample: LMMInputs, about: str) -> str:
    digest = blake2b(about.encode(), digest_size=20)
    tensors = dict(ids=sample.input_ids, phrases=sample.phrase_ids, branches=sample.branch_ids, **sample.vision)
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
        hidden=hidden.half() if hidden.dtype == torch.float32 else hidden,
        phrase_ids=outputs.phrase_ids,
    )


def _unpack(packed: dict[str, Tensor], like: Tensor) -> LMMOutputs:
    tensors = {name: tensor.to(like.device) for name, tensor in packed.items()}
    return LMMOutputs(
        attention_maps=tensors['maps'].float() * tensors['scale'],
        hidden_states=tensors['hidden'].to(like.dtype),
        phrase_ids=tensors['phrase_ids'],
    )
