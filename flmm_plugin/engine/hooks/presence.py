"""The presence rules of a checkpoint, fitted once and kept beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from flmm_plugin.engine.hooks.unwrapping import unwrapped_model
from flmm_plugin.errors import UserError
from flmm_plugin.models.presence import PresenceRules
from flmm_plugin.models.presence.estimates import text_signals
from flmm_plugin.models.presence.rules import presence_path
from flmm_plugin.models.presence.swapping import LabelledText, swap_phrases
from flmm_plugin.registry import DATASETS, HOOKS
from flmm_plugin.structures import Segment
from flmm_plugin.visualization.reliability_plot import plot_reliability


@HOOKS.register_module()
class PresenceRuleHook(Hook):
    """Before a test, give the model the rules in ``CHECKPOINT.presence.json``, which are fitted where there are none.

    Predictions have a ``presence`` then. How reliable it is, is drawn into ``CHECKPOINT.presence.png``. A model with
    nothing to train has its rules in the work dir.

    Args:
        prompt: what phrases are read as the answer to.
        question: how the LMM is asked for a phrase, with ``{phrase}`` in it; None to ask nothing.
        ask: use the answer to the question in the test, which takes a pass over it.
        dataset: config of the :class:`YesNoDataset` that they are fitted on: none of the test's questions. None where
            they have been fitted.
        narratives: config of a :class:`PNGDataset` whose narratives, with wrong words in them, the rules of phrases in
            answers are fitted on; None for none, see :class:`PresenceRules`.
        num: how many questions, spread over the data set, and a quarter as many narratives.
        batch_size: of them at a time.
    """

    def __init__(
        self,
        prompt: str,
        question: str | None = 'Is there {phrase}?',
        *,
        ask: bool = True,
        dataset: dict[str, Any] | None = None,
        narratives: dict[str, Any] | None = None,
        num: int = 400,
        batch_size: int = 8,
    ) -> None:
        self.prompt, self.question, self.ask = prompt, question, ask and question is not None
        self.dataset, self.narratives, self.num, self.batch_size = dataset, narratives, num, batch_size

    def before_test(self, runner: Runner) -> None:
        model = unwrapped_model(runner)
        path = presence_path(runner._load_from or Path(runner.work_dir) / 'untrained')
        if not path.exists():
            if self.dataset is None:
                raise UserError(
                    f'there is no presence rule {path}: fit it by a test whose PresenceRuleHook has a dataset '
                    '(docs/evaluation.md, "Is it there?")'
                )
            runner.logger.info(f'{path} does not exist: the presence rules are fitted now')
            fitted = self.fit(model)
            fitted.save(path)
            plot_reliability(fitted.curves(), path.with_suffix('.png'))
        rules = PresenceRules.load(path)
        if (rules.prompt, rules.question) != (self.prompt, self.question):
            raise UserError(
                f'{path} was fitted with prompt {rules.prompt!r} and question {rules.question!r}, and this run has '
                f'{self.prompt!r} and {self.question!r}: delete it, and it is fitted anew, or set them alike'
            )
        model.presence, model.ask_presence = rules, self.ask
        runner.logger.info(f'presence rules of {path}, fitted on {rules.free.fitted_on} phrases')

    def fit(self, model: Any) -> PresenceRules:
        given = self.fit_on(model, self.questions())
        return given if self.narratives is None else replace(given, answers=self.fit_on(model, self.answers()))

    def questions(self) -> Iterator[tuple[Tensor, LabelledText]]:
        """Images, and what is asked for as a text of its own."""
        for one in spread(DATASETS.build(self.dataset), self.num):
            if phrase := one['data_samples'].phrase:
                yield one['inputs'], LabelledText([Segment(phrase, 0)], [phrase], [one['data_samples'].label])

    def answers(self) -> Iterator[tuple[Tensor, LabelledText]]:
        """Images, and narratives with wrong words."""
        samples = list(spread(DATASETS.build(self.narratives), max(self.num // 4, 1)))
        texts = swap_phrases([sample['data_samples'] for sample in samples])
        return zip((sample['inputs'] for sample in samples), texts, strict=True)

    def fit_on(self, model: Any, texts: Iterable[tuple[Tensor, LabelledText]]) -> PresenceRules:
        left, signals, there = iter(texts), [], []
        while batch := list(islice(left, self.batch_size)):
            images, said = zip(*batch, strict=True)
            read = [one.segments for one in said], [one.phrases for one in said]
            signals.append(text_signals(model, images, *read, self.prompt, self.question))
            there += [flag for one in said for flag in one.there]
        return PresenceRules.fit(torch.cat(signals).double().numpy(), np.array(there), self.prompt, self.question)


def spread(dataset: Any, num: int) -> Iterator[dict[str, Any]]:
    """``num`` samples from all over a data set."""
    for place in np.linspace(0, len(dataset) - 1, min(num, len(dataset))).round().astype(int).tolist():
        yield dataset[place]
