"""The presence rule of a checkpoint, fitted once and kept beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from flmm_plugin.engine.hooks.unwrapping import unwrapped_model
from flmm_plugin.errors import UserError
from flmm_plugin.models.presence import PresenceRule
from flmm_plugin.registry import DATASETS, HOOKS


@HOOKS.register_module()
class PresenceRuleHook(Hook):
    """Before a test, give the model the rule in ``CHECKPOINT.presence.json``, which is fitted where there is none.

    Args:
        dataset: config of the :class:`YesNoDataset` that it is fitted on: none of the test's questions.
        num: how many questions of it, spread over it.
        batch_size: of them at a time.
    """

    def __init__(self, dataset: dict[str, Any], num: int = 400, batch_size: int = 8) -> None:
        self.dataset, self.num, self.batch_size = dataset, num, batch_size

    def before_test(self, runner: Runner) -> None:
        model = unwrapped_model(runner)
        if not hasattr(model, 'rule') or model.presence_prompt is None:
            raise UserError("a presence rule is for model=dict(type='AskingFLMM', presence_prompt=...)")
        path = Path(f'{runner._load_from}').with_suffix('.presence.json')
        if not path.exists():
            runner.logger.info(f'{path} does not exist: the presence rule is fitted now')
            self.fit(model).save(path)
        model.rule = PresenceRule.load(path)
        runner.logger.info(f'presence rule of {path}, fitted on {model.rule.fitted_on} phrases')

    @torch.no_grad()
    def fit(self, model: Any) -> PresenceRule:
        dataset = DATASETS.build(self.dataset)
        places = np.linspace(0, len(dataset) - 1, min(self.num, len(dataset))).round().astype(int).tolist()
        signals, there = [], []
        for start in range(0, len(places), self.batch_size):
            batch = [dataset[place] for place in places[start : start + self.batch_size]]
            batch = [one for one in batch if one['data_samples'].phrase]
            phrases = [one['data_samples'].phrase for one in batch]
            signals.append(model.signals([one['inputs'] for one in batch], phrases))
            there += [one['data_samples'].label for one in batch]
        return PresenceRule.fit(torch.cat(signals).double().numpy(), np.array(there))
