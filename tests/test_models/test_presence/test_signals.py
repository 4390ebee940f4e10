"""Signals are what they are said to be, computed another way from transformers' own logits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from flmm_plugin.models.presence import SIGNALS, PresenceRules
from flmm_plugin.models.presence.estimates import lone_signals
from flmm_plugin.models.presence.questions import answer_ids
from flmm_plugin.registry import MODELS
from tests.tiny_checkpoint import draw_scene
from tests.tiny_flmm import four_samples, tiny_flmm

SHIPPED = 'flmm_plugin::tiny_llava'
PROMPT, QUESTION = 'Describe the image.', 'Is there {phrase}?'
PHRASES = ['a small red star', 'a ring']


@pytest.fixture(scope='module')
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return MODELS.build(tiny_flmm(SHIPPED)).eval()


@pytest.fixture(scope='module')
def images() -> list[torch.Tensor]:
    return [torch.from_numpy(draw_scene(index)).permute(2, 0, 1).contiguous() for index in range(2)]


def test_signals(model: torch.nn.Module, images: list[torch.Tensor]) -> None:
    found = lone_signals(model, images, PHRASES, PROMPT, QUESTION)
    assert found.shape == (2, len(SIGNALS)) and found.isfinite().all()
    lmm, tokenizer = model.lmm, model.lmm.processor.tokenizer
    yes, no = answer_ids(tokenizer)
    for image, phrase, row in zip(images, PHRASES, found, strict=True):
        named = dict(zip(SIGNALS, row.tolist(), strict=True))
        with torch.no_grad():
            asked = lmm.model(**lmm.collate([lmm.prepare(image, QUESTION.format(phrase=phrase))])).logits[0, -1]
        assert named['asked'] == pytest.approx(float(asked[yes].logsumexp(0) - asked[no].logsumexp(0)), abs=1e-3)
        words = tokenizer(phrase, add_special_tokens=False, return_tensors='pt')['input_ids'][0]
        question = lmm.prepare(image, PROMPT)
        batch = lmm.collate([question])
        batch['input_ids'] = torch.cat([batch['input_ids'], words[None]], dim=1)
        batch['attention_mask'] = torch.ones_like(batch['input_ids'])
        with torch.no_grad():
            logits = lmm.model(**batch).logits[0, -len(words) : -1]
        margins = []
        for own, word in zip(logits, words[1:].tolist(), strict=True):
            others = own.clone()
            others[word] = -torch.inf
            margins.append(own[word] - others.max())
        assert named['said'] == pytest.approx(float(torch.stack(margins).mean()), abs=1e-3)
        assert 0 < named['attention'] < 1 and 0 <= named['inside'] <= 1 and named['area'] <= 1e-3


def test_no_question_no_pass(model: torch.nn.Module, images: list[torch.Tensor]) -> None:
    whole = lone_signals(model, images, PHRASES, PROMPT, QUESTION)
    free = lone_signals(model, images, PHRASES, PROMPT, None)
    assert (free[:, 0] == 0).all() and torch.equal(free[:, 1:], whole[:, 1:])


def test_yes_and_no_begin_differently(model: torch.nn.Module, tmp_path: Path) -> None:
    yes, no = answer_ids(model.lmm.processor.tokenizer)
    assert yes and no and not set(yes) & set(no)


def test_predictions_have_a_presence_with_a_rule(model: torch.nn.Module) -> None:
    images, samples = four_samples()
    rng = np.random.default_rng(0)
    signals = rng.normal(size=(100, len(SIGNALS)))
    model.presence = PresenceRules.fit(signals, signals.sum(1) > 0, PROMPT, QUESTION)
    try:
        free = [sample.pred_instances.presence for sample in model.predict(images, samples)]
        model.ask_presence = True
        asked = [sample.pred_instances.presence for sample in model.predict(images, samples)]
    finally:
        model.presence, model.ask_presence = None, False
    for one, other, sample in zip(free, asked, samples, strict=True):
        assert one.shape == other.shape == (len(sample.gt_instances.phrases),) and not torch.equal(one, other)
        assert ((one >= 0) & (one <= 1)).all()
    assert 'presence' not in model.predict(images[:1], four_samples()[1][:1])[0].pred_instances
