"""Randomness that does not depend on what happened before."""

from __future__ import annotations

import random

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from flmm_plugin.registry import HOOKS


@HOOKS.register_module()
class SeedHook(Hook):
    """Seed Python's and numpy's generators at each epoch, torch's at each iteration; each rank differently.

    A resumed run then draws the numbers of an uninterrupted one: dropout by torch's generators, random sentences and
    augmentations by the others where data are loaded in the main process (mmengine seeds its workers).
    """

    def before_train_epoch(self, runner: Runner) -> None:
        seed = derived_seed(runner.seed, runner.epoch)
        random.seed(seed)
        np.random.seed(seed)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        torch.manual_seed(derived_seed(runner.seed, runner.iter))


def derived_seed(seed: int, step: int) -> int:
    """A 32-bit seed of this rank's own for an epoch or an iteration."""
    return int(np.random.SeedSequence([seed, step, get_rank()]).generate_state(1)[0])
