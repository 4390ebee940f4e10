"""Proof that training left the frozen weights alone, and that a checkpoint meets the LMM it was trained on."""

from __future__ import annotations

from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from flmm_plugin.engine.hooks.unwrapping import unwrapped_model
from flmm_plugin.models.weights.trained_state import check_lmm
from flmm_plugin.registry import HOOKS


@HOOKS.register_module()
class FrozenCheckHook(Hook):
    """Hash the frozen weights before and after training; a difference is an error.

    The model says what is frozen by its method ``frozen_hash() -> str``. Both hashes are in the log. Checkpoints are
    given the LMM's fingerprint and, where the Hub gave it, revision, and one that was trained on another LMM is refused
    when it is loaded.
    """

    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self.before: str | None = None

    @master_only
    def before_train(self, runner: Runner) -> None:
        self.before = unwrapped_model(runner).frozen_hash()
        runner.logger.info(f'frozen weights before training: {self.before}')

    @master_only
    def after_train(self, runner: Runner) -> None:
        after = unwrapped_model(runner).frozen_hash()
        runner.logger.info(f'frozen weights after training:  {after}')
        if after != self.before:
            raise RuntimeError(f'training changed weights that must stay frozen (hash {self.before}, now {after})')

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        model = unwrapped_model(runner)
        checkpoint['meta']['lmm_fingerprint'] = model.lmm_fingerprint()
        if model.lmm.revision is not None:
            checkpoint['meta']['lmm_revision'] = model.lmm.revision

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        check_lmm(unwrapped_model(runner), checkpoint)
