"""Numbers that are none: where they come from, and what helps. Nothing is computed from them."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from transformers import LogitsProcessor

from flmm_plugin.errors import UserError
from flmm_plugin.structures import LMMOutputs


class BrokenNumbersError(UserError, ArithmeticError):
    """NaN or infinity came out of a model."""


def all_finite(tensors: Iterable[Tensor | None]) -> bool:
    """Whether no value of them is NaN or infinite. A GPU is waited for."""
    return all(bool(tensor.isfinite().all()) for tensor in tensors if tensor is not None)


def check_lmm_numbers(outputs: LMMOutputs, dtype: torch.dtype) -> None:
    """Refuse what a frozen LMM of this ``dtype`` gave where some of it is NaN or infinite."""
    if not all_finite((outputs.attention_maps, outputs.hidden_states)):
        raise BrokenNumbersError(broken_lmm('attention and hidden states are', dtype))


def broken_lmm(what: str, dtype: torch.dtype) -> str:
    """The message about an LMM whose values, ``what``, are NaN or infinite."""
    name = str(dtype).removeprefix('torch.')
    other = 'bfloat16 or float32' if dtype == torch.float16 else 'float32'
    return (
        f"the LMM's numbers are broken: its {what} NaN or infinite in {name}, so that neither its answer nor a mask "
        f"means anything. Read it in {other} (dtype='float32' of the inferencer, --dtype of the tools, or "
        '--cfg-options model.lmm.dtype=float32); if that does not help, its weights are damaged: load them anew.'
    )


def check_mask_numbers(*tensors: Tensor | None) -> None:
    """Refuse logits and scores of the mask head and the refiner where some are NaN or infinite."""
    if not all_finite(tensors):
        raise BrokenNumbersError(
            'the numbers of the mask head or the refiner are broken: logits or scores are NaN or infinite, while '
            "the LMM's are not. The checkpoint is damaged or comes from a training that diverged: take an earlier one."
        )


class RefuseBroken(LogitsProcessor):
    """Ends the generation with an error where logits are NaN or +inf; all others pass as they are."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if (scores.isnan() | scores.isposinf()).any():
            raise BrokenNumbersError(broken_lmm('logits are', self.dtype))
        return scores
