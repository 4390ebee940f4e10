"""Models that compute as the authors' code does, to compare with. They share their weights with ours."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import Any, TypeVar

import torch
from segment_anything.modeling.image_encoder import Attention
from torch import Tensor, nn

from flmm_plugin.benchmark.forward import eager_outputs
from flmm_plugin.models.flmm import FLMM
from flmm_plugin.models.lmms import FrozenLMM
from flmm_plugin.models.refiners import SAMRefiner
from flmm_plugin.models.refiners.image_attention import FusedAttention
from flmm_plugin.structures import LMMInputs, LMMOutputs

Module = TypeVar('Module', bound=nn.Module)


def original_model(model: FLMM) -> FLMM:
    """A copy whose LMM returns every layer's whole attention and whose refiner is :func:`original_refiner`'s."""
    original = copy_sharing(model)
    lmm: Any = original.lmm
    lmm.forward = partial(read_eagerly, lmm)
    if original.sam is not None:
        decompose(original.sam)
    return original


def original_refiner(refiner: SAMRefiner) -> SAMRefiner:
    """A copy that computes as segment-anything does, its decoder called once a phrase."""
    original = copy_sharing(refiner)
    decompose(original)
    return original


def copy_sharing(model: Module) -> Module:
    """A copy of the modules with the very parameters and buffers of ``model``."""
    return copy.deepcopy(model, {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())})


def decompose(refiner: Any) -> None:
    """Let a :class:`SAMRefiner` compute as segment-anything does."""
    refiner.decode = partial(decode_one_by_one, refiner)
    refiner.image_masks = partial(postprocess, refiner)
    for module in refiner.model.image_encoder.modules():
        if isinstance(module, FusedAttention):
            module.__class__ = Attention


@torch.no_grad()
def read_eagerly(lmm: FrozenLMM, samples: Sequence[LMMInputs]) -> list[LMMOutputs]:
    """In place of the LMM's ``forward``."""
    return [eager_outputs(lmm, [sample])[0][0] for sample in samples]


def postprocess(refiner: SAMRefiner, logits: Tensor, input_size: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """In place of :meth:`SAMRefiner.image_masks`."""
    return refiner.model.postprocess_masks(logits[:, None].float(), input_size, size)[:, 0]


def decode_one_by_one(
    refiner: SAMRefiner,
    features: Sequence[Tensor],
    dense: Tensor,
    prompts: Sequence[Tensor],
    part: tuple[int, int] | None = None,
) -> tuple[Tensor, Tensor]:
    """In place of :meth:`SAMRefiner.decode`, for the whole of the features."""
    singles = [
        refiner.model.mask_decoder(
            image_embeddings=own,
            image_pe=refiner.model.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=prompt[None].to(mask),
            dense_prompt_embeddings=mask[None],
            multimask_output=False,
        )
        for own, mask, prompt in zip(features, dense, prompts, strict=True)
    ]
    logits, scores = (torch.cat(tensors) for tensors in zip(*singles, strict=True))
    return logits, scores
