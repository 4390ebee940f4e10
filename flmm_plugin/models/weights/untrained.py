"""Models with nothing to train: which they are, and what a checkpoint is to them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flmm_plugin.errors import UserError
from flmm_plugin.models.weights.frozen import freeze
from flmm_plugin.registry import MODELS

NONE = 'none'  # in the place of a checkpoint


class TrainingError(UserError, ValueError):
    """A model that is trained is asked to do without a checkpoint, or one with nothing to train to have one."""


def is_trained(model: Mapping[str, Any]) -> bool:
    """Whether the model of this config has anything to train: its mask head decides."""
    head = MODELS.get(model['mask_head']['type'])
    return getattr(head, 'trained', True)


def needs_checkpoint(model: Mapping[str, Any], checkpoint: str | Path | None) -> bool:
    """Whether a checkpoint is to be loaded into the model of this config; None and 'none' say that there is none.

    Raises:
        TrainingError: it does not go with the model.
    """
    given, trained = checkpoint is not None and str(checkpoint) != NONE, is_trained(model)
    if given and not trained:
        raise TrainingError(
            f'nothing of this model is trained (mask_head {model["mask_head"]["type"]}), so that no checkpoint belongs '
            f'to it: give {NONE!r} in the place of {checkpoint}'
        )
    if not given and trained:
        raise TrainingError(
            f'this model is trained (mask_head {model["mask_head"]["type"]}) and points at nothing without its '
            "checkpoint, which tools/train.py writes; without training, use mask_head=dict(type='AttentionMaskHead')"
        )
    return trained


def check_trained_model(model: Mapping[str, Any]) -> None:
    """Raise :class:`TrainingError` where there is nothing to train."""
    if not is_trained(model):
        raise TrainingError(
            f'there is nothing to train in this model: test it with {NONE!r} in the place of a checkpoint'
        )


def freeze_refiner(refiner: Any) -> None:
    """Leave a refiner as its file has it, beside a mask head that is not trained."""
    if refiner is None:
        return
    if 'text' in refiner.prompts:
        raise TrainingError(
            "a text prompt has to be trained, and this mask head is not: set refiner.prompts to ['box'], or others of "
            "'box', 'mask' and 'points'"
        )
    freeze(refiner)


def describe(model: Any) -> str:
    """What the log says of a model with nothing to train."""
    lmm = model.lmm
    total = lmm.num_layers * lmm.num_heads
    heads = f'all {total} heads' if lmm.heads is None else f'{len(lmm.heads)} of {total} heads'
    return f'no checkpoint, nothing trained takes part: masks come from the attention of {heads} of {lmm.name}'
