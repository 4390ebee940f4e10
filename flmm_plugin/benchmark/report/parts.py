"""The parts of a report, in the order in which they are run. Each keeps a result as soon as it has one."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from mmengine.registry import init_default_scope

from flmm_plugin.benchmark.chatting import measure_chat
from flmm_plugin.benchmark.extract import extract
from flmm_plugin.benchmark.inputs import make_inputs
from flmm_plugin.benchmark.plain_losses import stand_in_for_mmdet
from flmm_plugin.benchmark.report.running import Keep, Part, described
from flmm_plugin.benchmark.report.settings import Settings
from flmm_plugin.benchmark.report.suite import run_suite
from flmm_plugin.benchmark.report.waits import profile_step
from flmm_plugin.benchmark.subject import PresetSubject
from flmm_plugin.benchmark.testing import measure_decoding, measure_sharing
from flmm_plugin.benchmark.training import measure_training


def tests(settings: Settings, keep: Keep) -> None:
    """The tests of the models, those of conformance on the device."""
    run_suite(settings.tests, settings.device, lambda outcome: keep('tests', outcome))


def forward(settings: Settings, keep: Keep) -> None:
    """The LMM's forward pass at each length and batch: bare, ours and eager."""
    for name, subject in settings.subjects():
        for batch in settings.batches:
            for tokens in settings.tokens:
                measure = partial(extract, subject, [tokens], settings.phrases, settings.repeats, batch)
                attempt(keep, f'{name}, batch {batch}, {tokens} tokens', measure)


@torch.no_grad()
def test(settings: Settings, keep: Keep) -> None:
    """SAM's decoder on many phrases at once, and expressions that share their image."""
    subjects = settings.subjects()
    attempt(keep, 'decoder', partial(decoding, subjects[0][1], settings))  # all presets have the same SAM
    for name, subject in subjects:
        attempt(keep, name, partial(sharing, subject, settings))


def decoding(subject: PresetSubject, settings: Settings) -> dict[str, Any]:
    masks = measure_decoding(subject.refiner(), settings.decoded, settings.repeats)
    return dict(phrases=settings.decoded, **masks)


def sharing(subject: PresetSubject, settings: Settings) -> dict[str, Any]:
    tokens, phrases = settings.tokens[0], settings.phrases
    lmm = subject.lmm(tokens, phrases)
    shared = measure_sharing(lmm, make_inputs(lmm, tokens, phrases), settings.repeats)
    return dict(**subject.about, phrases=phrases, tokens=tokens, **shared)


def train(settings: Settings, keep: Keep) -> None:
    """A training step on a batch against single steps the original's way, and where the host waits."""
    stand_in_for_mmdet()
    init_default_scope('flmm_plugin')
    batch, phrases, tokens = settings.batches[-1], settings.phrases, settings.tokens[0]
    # The authors trained in mixed precision: that first, where time is short.
    for amp in (True, False):
        for name, subject in settings.subjects():
            measure = partial(measure_training, subject, [tokens], phrases, settings.steps, batch, amp=amp)
            attempt(keep, f'{name}, {"mixed precision" if amp else "fp32"}', measure)
            if amp:
                attempt(keep, f'profile of {name}', partial(profile_step, subject, tokens, phrases, batch))


def chat(settings: Settings, keep: Keep) -> None:
    """An answer, and what grounding adds to it."""
    for name, subject in settings.subjects():
        attempt(keep, name, partial(measure_chat, subject, settings.tokens[:1], settings.phrases, settings.repeats))


def attempt(keep: Keep, name: str, measure: Callable[[], dict[str, Any]]) -> None:
    """Keep what is measured, or why it cannot be: what comes after it is measured all the same."""
    try:
        keep(name, measure())
    except Exception as error:
        keep(name, dict(error=described(error)))
    # Models are tied to themselves by their hooks, and large ones have no room beside the next.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


PARTS: dict[str, Part] = dict(tests=tests, extract=forward, test=test, train=train, chat=chat)
