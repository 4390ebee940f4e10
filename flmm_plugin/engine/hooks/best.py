"""MMEngine's hooks that ask which of two figures is better, for the metrics of this package."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import CheckpointHook as MMEngineCheckpointHook
from mmengine.hooks import EarlyStoppingHook as MMEngineEarlyStoppingHook
from mmengine.runner import Runner

from flmm_plugin.errors import UserError
from flmm_plugin.registry import HOOKS

#: Parts of metrics' names, in any case, of which more, or less, is better, beside those that mmengine knows.
GREATER = ('IoU', 'Pr@', 'AR_', 'recall', 'F1', 'AP50', 'METEOR', 'CIDEr', 'auroc')
LESS = ('calibration_error',)


@HOOKS.register_module()
class CheckpointHook(MMEngineCheckpointHook):
    """mmengine's, whose ``save_best`` knows of this package's metrics which are better the greater they are.

    ``rule``, ``greater_keys`` and ``less_keys`` serve metrics of your own, as in mmengine.
    """

    _default_greater_keys = [*MMEngineCheckpointHook._default_greater_keys, *GREATER]
    _default_less_keys = [*MMEngineCheckpointHook._default_less_keys, *LESS]

    def _save_best_checkpoint(self, runner: Runner, metrics: dict[str, float]) -> None:
        wanted = self.key_indicators if self.save_best else []
        missing = [name for name in wanted if name != 'auto' and name not in metrics]
        if missing:
            raise UserError(f'save_best: no metric {", ".join(missing)} among {", ".join(metrics) or "none at all"}')
        super()._save_best_checkpoint(runner, metrics)


@HOOKS.register_module()
class EarlyStoppingHook(MMEngineEarlyStoppingHook):
    """mmengine's, with the rule of this package's metrics, which are fractions: ``min_delta`` is 0.001, not 0.1."""

    _default_greater_keys = [*MMEngineEarlyStoppingHook._default_greater_keys, *GREATER]
    _default_less_keys = [*MMEngineEarlyStoppingHook._default_less_keys, *LESS]

    def __init__(self, monitor: str, rule: str | None = None, min_delta: float = 1e-3, **kwargs: Any) -> None:
        super().__init__(monitor, rule, min_delta, **kwargs)
