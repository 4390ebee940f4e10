"""Gradient accumulation that is the global batch: every phrase of a window of steps weighs the same."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.logging import MessageHub
from mmengine.optim import AmpOptimWrapper as MMEngineAmpOptimWrapper
from mmengine.optim import OptimWrapper as MMEngineOptimWrapper
from torch import Tensor

from flmm_plugin.models.losses import PHRASES
from flmm_plugin.registry import OPTIM_WRAPPERS


class WeighsPhrases:
    """For wrappers whose steps gather the gradients of ``accumulative_counts`` batches.

    Each batch's loss is a mean over its phrases, of all ranks. mmengine adds those means up as if each batch had as
    many; here they are weighed by their numbers, which are known when the window ends. Models that do not say how many
    phrases a loss is a mean of are trained as mmengine does.
    """

    _accumulative_counts: int
    optimizer: torch.optim.Optimizer
    _first: Tensor | None = None  # phrases a rank of the window's first batch: losses keep their magnitude
    _total: Tensor | float = 0.0  # of all batches so far

    def scale_loss(self, loss: Tensor) -> Tensor:
        phrases = MessageHub.get_current_instance().get_info(PHRASES) if self._accumulative_counts > 1 else None
        if phrases is None:
            return super().scale_loss(loss)  # type: ignore[misc]
        if self._first is None:
            self._first = phrases.clamp(min=1e-6)
        self._total = self._total + phrases
        return loss * (phrases / self._first)

    def step(self, **kwargs: Any) -> None:
        if self._first is not None:
            factor = self._first / torch.as_tensor(self._total).clamp(min=1e-6)
            for group in self.optimizer.param_groups:
                for parameter in group['params']:
                    if parameter.grad is not None:
                        parameter.grad.mul_(factor.to(parameter.grad))
            self._first, self._total = None, 0.0
        super().step(**kwargs)  # type: ignore[misc]


@OPTIM_WRAPPERS.register_module()
class OptimWrapper(WeighsPhrases, MMEngineOptimWrapper):
    """mmengine's; see :class:`WeighsPhrases`."""


@OPTIM_WRAPPERS.register_module()
class AmpOptimWrapper(WeighsPhrases, MMEngineAmpOptimWrapper):
    """mmengine's for mixed precision; see :class:`WeighsPhrases`."""
