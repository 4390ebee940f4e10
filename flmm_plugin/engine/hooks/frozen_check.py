"""Proof that training left the frozen weights alone, and that a checkpoint says and meets what it was trained on."""

from __future__ import annotations

from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from flmm_plugin.engine.hooks.unwrapping import unwrapped_model
from flmm_plugin.models.weights.provenance import from_meta, of_config, of_file, to_meta, training
from flmm_plugin.models.weights.trained_state import check_lmm
from flmm_plugin.registry import HOOKS


@HOOKS.register_module()
class FrozenCheckHook(Hook):
    """Hash the frozen weights before and after training; a difference is an error.

    The model says what is frozen by its method ``frozen_hash() -> str``. Both hashes are in the log. Checkpoints are
    given the LMM's fingerprint and, where the Hub gave it, revision, the config's name and the training data; one that
    was trained on another LMM is refused when it is loaded.
    """

    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self.before: str | None = None

    @master_only
    def before_train(self, runner: Runner) -> None:
        model = unwrapped_model(runner)
        model.provenance = of_config(runner.cfg)
        self.before = model.frozen_hash()
        runner.logger.info(f'frozen weights before training: {self.before}')

    @master_only
    def after_train(self, runner: Runner) -> None:
        after = unwrapped_model(runner).frozen_hash()
        runner.logger.info(f'frozen weights after training:  {after}')
        if after != self.before:
            raise RuntimeError(f'training changed weights that must stay frozen (hash {self.before}, now {after})')

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        checkpoint['meta'].update(to_meta(unwrapped_model(runner).trained_on()))

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        model = unwrapped_model(runner)
        check_lmm(model, checkpoint)
        model.provenance = of_file(runner.cfg) | training(from_meta(checkpoint.get('meta', {})))
