"""Runs end where losses or predictions are no numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from flmm_plugin.engine.hooks.unwrapping import unwrapped_model
from flmm_plugin.models.numbers import BrokenNumbersError, all_finite, check_lmm_numbers, check_mask_numbers
from flmm_plugin.registry import HOOKS


@HOOKS.register_module()
class FiniteNumbersHook(Hook):
    """Stop at the first step whose losses, or the first batch whose scores, are NaN or infinite.

    One such training step spoils every weight that is trained: nothing is saved of it, and going on is of no use.
    Gradients that overflow while the loss is finite are another matter: ``AmpOptimWrapper`` leaves out those steps by
    itself. In a test, a comparison with NaN is false, so that masks would quietly be empty.

    Raises:
        BrokenNumbersError: says whether the LMM or what is trained is to blame.
    """

    priority = 'VERY_HIGH'

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        losses = {name: torch.as_tensor(value) for name, value in (outputs or {}).items() if 'loss' in name}
        if all_finite(losses.values()):
            return
        _check_lmm(runner, data_batch)
        broken = ', '.join(name for name, value in losses.items() if not all_finite([value]))
        raise BrokenNumbersError(
            f"{broken} of iteration {runner.iter + 1} are NaN or infinite, while the LMM's numbers are not: the "
            'training diverged. Nothing of this step is saved. Resume from the last checkpoint with a smaller learning '
            'rate (optim_wrapper.optimizer.lr) or clipped gradients (optim_wrapper.clip_grad.max_norm=1).'
        )

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        scores = [sample.pred_instances.scores for sample in outputs or () if 'pred_instances' in sample]
        if not all_finite(scores):
            _check_lmm(runner, data_batch)
            check_mask_numbers(*scores)

    after_test_iter = after_val_iter


@torch.no_grad()
def _check_lmm(runner: Runner, data_batch: Any) -> None:
    """Read the batch once more, to see whether its numbers are broken in the LMM already."""
    model = unwrapped_model(runner)
    for outputs in model.lmm(model.prepare(data_batch['inputs'], data_batch['data_samples'])):
        check_lmm_numbers(outputs, model.lmm.model.dtype)
