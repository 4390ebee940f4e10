"""Several images in one go give what each gives by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from flmm_plugin.apis import FLMMInferencer
from flmm_plugin.apis.grounding import Grounder
from flmm_plugin.apis.results import GroundedAnswer
from flmm_plugin.apis.together import ask_together
from flmm_plugin.errors import UserError
from tests.tiny_checkpoint import draw_scene

QUESTIONS = ['Describe the image.', 'What is at the top?', 'Describe the image.', 'What is at the bottom?']


@pytest.fixture(scope='module')
def ask() -> FLMMInferencer:
    return FLMMInferencer.from_pretrained('flmm_plugin::tiny_flmm', 'cpu', extractor=dict(type='RulePhrases'))


@pytest.fixture(scope='module')
def pictures() -> list[np.ndarray]:
    """Of different shapes, so that prompts of AutoLMM would differ in length and masks in size."""
    whole = [draw_scene(index) for index in range(1, 5)]
    return [whole[0], whole[1][:150], whole[2][:, :120], whole[3]]


def assert_same(found: GroundedAnswer, expected: GroundedAnswer) -> None:
    assert (found.question, found.answer) == (expected.question, expected.answer)
    assert [p.text for p in found.phrases] == [p.text for p in expected.phrases]
    for one, other in zip(found.phrases, expected.phrases, strict=True):
        assert one.spans == other.spans and one.grounded == other.grounded
        assert abs(one.score - other.score) < 1e-4 and abs(one.attention - other.attention) < 1e-5
        if other.mask is not None:
            assert (one.mask != other.mask).mean() < 1e-3


def test_answers_and_masks(ask: FLMMInferencer, pictures: list[np.ndarray]) -> None:
    alone = [ask(picture, question) for picture, question in zip(pictures, QUESTIONS, strict=True)]
    assert len({one.answer for one in alone}) > 2 and sum(len(one.grounded) for one in alone) >= 8
    for batch_size in (2, 3, 4):
        for found, expected in zip(ask(pictures, QUESTIONS, batch_size=batch_size), alone, strict=True):
            assert_same(found, expected)


def test_phrases_given(ask: FLMMInferencer, pictures: list[np.ndarray]) -> None:
    phrases = [['the sky'], ['the large star', 'the grass'], ['a ring'], ['the water', 'a red square', 'the wall']]
    alone = [ask(picture, phrases=own) for picture, own in zip(pictures, phrases, strict=True)]
    for found, expected in zip(ask(pictures, phrases=phrases), alone, strict=True):
        assert_same(found, expected)


def test_logits_of_the_masks(ask: FLMMInferencer, pictures: list[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[torch.Tensor] = []
    read = Grounder.read_results

    def spy(self: Grounder, seen: Any, grounding: Any, asked: Any) -> Any:
        kept.append(grounding.refined)
        return read(self, seen, grounding, asked)

    monkeypatch.setattr(Grounder, 'read_results', spy)
    for picture, question in zip(pictures, QUESTIONS, strict=True):
        ask(picture, question)
    alone = list(kept)
    kept.clear()
    ask(pictures, QUESTIONS)
    assert len(kept) == len(alone) == 4
    for found, expected in zip(kept, alone, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_an_extractor_that_asks_the_lmm(pictures: list[np.ndarray]) -> None:
    ask = FLMMInferencer.from_pretrained('flmm_plugin::tiny_flmm', 'cpu', extractor=dict(type='MarkedPhrases'))
    alone = [ask(picture, 'Describe the image.') for picture in pictures[:2]]
    for found, expected in zip(ask(pictures[:2], 'Describe the image.'), alone, strict=True):
        assert_same(found, expected)


@pytest.mark.parametrize('options', [dict(num_beams=2), dict(max_new_tokens=3), dict(do_sample=True, temperature=1e-4)])
def test_arguments_of_generate(ask: FLMMInferencer, pictures: list[np.ndarray], options: dict[str, Any]) -> None:
    alone = [ask(picture, 'Describe the image.', **options) for picture in pictures]
    for found, expected in zip(ask(pictures, 'Describe the image.', **options), alone, strict=True):
        assert_same(found, expected)


def test_a_conversation_goes_on_after_others_were_answered(ask: FLMMInferencer, pictures: list[np.ndarray]) -> None:
    talk = ask.converse(pictures[0])
    talk.ask('Describe the image.')
    ask(pictures, QUESTIONS)
    expected = ask.converse(pictures[0])
    expected.ask('Describe the image.')
    assert_same(talk.ask('What is at the top?'), expected.ask('What is at the top?'))


def test_empty_questions_are_refused(ask: FLMMInferencer) -> None:
    with pytest.raises(UserError, match='the question is empty'):
        ask_together(ask.grounder, [torch.zeros(3, 9, 9, dtype=torch.uint8)] * 2, ['What?', ' '], {})
