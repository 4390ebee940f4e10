"""How sure the inferencer is that what it shows is there, and what it leaves out for that."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from flmm_plugin.apis import FLMMInferencer
from flmm_plugin.apis.arguments import presence_limit
from flmm_plugin.apis.export import export_folder
from flmm_plugin.apis.pictures import describe, draw_answer
from flmm_plugin.errors import UserError
from flmm_plugin.models.presence import SIGNALS, PresenceRule, PresenceRules
from flmm_plugin.models.presence.estimates import lone_signals
from flmm_plugin.models.presence.questions import ask_all
from flmm_plugin.models.presence.rules import presence_path
from tests.tiny_checkpoint import CONFIG, PROMPT, QUESTION, draw_scene, save_checkpoint, save_presence

PHRASES = ['a small red star', 'the blue ring', 'the sky']
RULES = dict(type='RulePhrases')


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with a presence rule to which every signal matters."""
    path = save_checkpoint(tmp_path_factory.mktemp('flmm'))
    save_presence(path)
    return path


@pytest.fixture(scope='module')
def ask(checkpoint: Path) -> FLMMInferencer:
    return FLMMInferencer(CONFIG, checkpoint, 'cpu', extractor=RULES, min_score=-10.0, ask_presence=True)


@pytest.fixture(scope='module')
def scene() -> np.ndarray:
    return draw_scene(1)


def test_presence_is_the_rule_s(ask: FLMMInferencer, scene: np.ndarray, checkpoint: Path) -> None:
    """Whether phrases share a pass or have one each."""
    result = ask(scene, phrases=PHRASES)
    image = torch.from_numpy(scene).permute(2, 0, 1)
    rules = PresenceRules.load(presence_path(checkpoint))
    for asking in (True, False):
        ask.model.ask_presence = asking
        found = [phrase.presence for phrase in ask(scene, phrases=PHRASES).phrases]
        signals = lone_signals(ask.model, [image] * 3, PHRASES, PROMPT, QUESTION)
        assert found == pytest.approx(rules(signals.double().numpy(), asking).tolist(), abs=1e-4)
    ask.model.ask_presence = True
    plain = json.loads(json.dumps(result.to_dict()))
    for written, phrase in zip(plain['phrases'], result.phrases, strict=True):
        assert written['presence'] == round(phrase.presence, 4) and f'presence {written["presence"]:.2f}' in describe(
            phrase, 0, False
        )
    assert result.data_sample.pred_instances.presence.tolist() == pytest.approx([p.presence for p in result.grounded])


def test_a_conversation_asks_on_its_own_cache_and_goes_on_as_before(ask: FLMMInferencer, scene: np.ndarray) -> None:
    talk, image = ask.converse(scene), torch.from_numpy(scene).permute(2, 0, 1)
    read = []
    whole = ask.model.lmm.read_batch
    ask.model.lmm.read_batch = lambda samples, *rest: (read.extend(samples), whole(samples, *rest))[1]
    try:
        answers = [talk.ask(question, max_new_tokens=24) for question in (PROMPT, 'What is at the top?', PROMPT)]
    finally:
        del ask.model.lmm.read_batch
    assert not read, 'the picture was read again'
    phrases = [phrase.text for phrase in answers[0].phrases]
    assert len(phrases) > 1 and all(0 < phrase.presence < 1 for answer in answers for phrase in answer.phrases)
    said = talk.grounder.extractor(answers[0].answer, str)
    margins = talk._ask_for(said)
    expected = ask_all(ask.model.lmm, [image], [[QUESTION.format(phrase=p.text.replace('the ', 'a ')) for p in said]])[
        0
    ]
    torch.testing.assert_close(margins, expected, atol=1e-3, rtol=0)
    ask.model.ask_presence = False
    silent = ask.converse(scene)
    for answer in answers:
        assert silent.ask(answer.question, max_new_tokens=24).answer == answer.answer
    ask.model.ask_presence = True


def test_phrases_of_an_answer_have_rules_of_their_own(
    ask: FLMMInferencer, scene: np.ndarray, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def presence(rules: PresenceRules, **asked: object) -> list[float]:
        monkeypatch.setattr(ask.model, 'presence', rules)
        return [phrase.presence for phrase in ask(scene, **asked).phrases]

    given = ask.model.presence
    rng = np.random.default_rng(4)
    signals = rng.normal(size=(300, len(SIGNALS))) * 5
    inside = PresenceRules.fit(signals, signals[:, 2] < 0, PROMPT, QUESTION)
    both = replace(given, answers=inside)
    said = dict(question=PROMPT, max_new_tokens=24)
    assert presence(both, phrases=PHRASES) == presence(given, phrases=PHRASES)
    assert presence(both, **said) == presence(inside, **said) != presence(given, **said)
    assert set(both.curves()) == {'not asked', 'asked', 'in answers, not asked', 'in answers, asked'}
    both.save(tmp_path / 'rules.json')
    assert PresenceRules.load(tmp_path / 'rules.json') == both
    # A precision's limit is that of the rules that were used.
    never = dict(limit=0.999999, precision=1.0, recall=0.0)
    monkeypatch.setattr(ask.model, 'presence', replace(both, answers=replace(inside, asked=dearer(inside, never))))
    monkeypatch.setattr(ask.grounder, 'min_presence', dict(precision=0.6))
    assert ask(scene, phrases=PHRASES).grounded and not ask(scene, **said).grounded


def dearer(rules: PresenceRules, point: dict[str, float]) -> PresenceRule:
    assert rules.asked is not None
    return replace(rules.asked, points=(point,))


def test_what_is_not_there_is_not_shown(checkpoint: Path, scene: np.ndarray) -> None:
    known = FLMMInferencer(CONFIG, checkpoint, 'cpu', min_score=-10.0)(scene, phrases=PHRASES).phrases
    middle = sorted(phrase.presence for phrase in known)[1]
    strict = FLMMInferencer(CONFIG, checkpoint, 'cpu', min_score=-10.0, min_presence=middle)
    shown = strict(scene, phrases=PHRASES)
    for phrase, before in zip(shown.phrases, known, strict=True):
        assert before.grounded and phrase.grounded == (phrase.presence >= middle) == (phrase.mask is not None)
    assert len(shown.grounded) == 2
    assert draw_answer(torch.from_numpy(scene).permute(2, 0, 1), shown).shape[2] == 3
    precise = FLMMInferencer(CONFIG, checkpoint, 'cpu', min_presence=dict(precision=0.9))
    points = precise.model.presence.free.points
    (limit,) = (point for point in points if point['limit'] == precise.model.presence.limit(dict(precision=0.9), False))
    below = [point for point in points if point['limit'] < limit['limit']]
    assert limit['precision'] >= 0.9 and (not below or below[-1]['precision'] < 0.9)
    found = precise(scene, phrases=PHRASES).phrases
    assert [p.grounded for p in found] == [p.score >= 0.25 and p.presence >= limit['limit'] for p in found]


def test_a_folder_for_the_hub_carries_the_rule(checkpoint: Path, tmp_path: Path, scene: np.ndarray) -> None:
    export_folder(str(checkpoint), str(tmp_path / 'hub'), str(CONFIG))
    ask = FLMMInferencer.from_pretrained(tmp_path / 'hub', 'cpu', min_presence=0.5)
    assert ask.grounder.min_presence == 0.5 and ask(scene, phrases=['the sky']).phrases[0].presence is not None
    ask.model.save_pretrained(tmp_path / 'again')
    rules = [presence_path(tmp_path / name / 'model.safetensors').read_text() for name in ('hub', 'again')]
    assert rules[0] == rules[1] == presence_path(checkpoint).read_text()
    ask.model.presence = None
    ask.model.save_pretrained(tmp_path / 'again')
    assert not presence_path(tmp_path / 'again/model.safetensors').exists()


def test_no_rule_no_presence(tmp_path: Path, scene: np.ndarray) -> None:
    checkpoint = save_checkpoint(tmp_path)
    (phrase,) = FLMMInferencer(CONFIG, checkpoint, 'cpu')(scene, phrases=['the sky']).phrases
    assert phrase.presence is None and phrase.to_dict()['presence'] is None
    for options in (dict(min_presence=0.5), dict(ask_presence=True)):
        with pytest.raises(UserError, match=r'no .*flmm\.presence\.json: fit it by a test with PresenceRuleHook'):
            FLMMInferencer(CONFIG, checkpoint, 'cpu', **options)


@pytest.mark.parametrize(
    ('wanted', 'message'),
    [
        (1.5, 'between 0 and 1'),
        ('high', 'between 0 and 1'),
        (dict(recall=0.9), r'dict\(precision=P\)'),
        (dict(precision=1.0), 'no presence gives a precision of 1.0; the best'),
    ],
)
def test_limits_that_make_no_sense(wanted: object, message: str) -> None:
    rng = np.random.default_rng(1)
    signals = rng.normal(size=(200, len(SIGNALS)))
    rules = PresenceRules.fit(signals, rng.random(200) < 0.5, PROMPT, None)
    with pytest.raises(UserError, match=message):
        rules.limit(wanted, False)
    with pytest.raises(UserError, match='without a question'):
        rules.rule(True)


def test_limits_of_the_command_line() -> None:
    assert presence_limit('0.5') == 0.5 and presence_limit('precision=0.9') == dict(precision=0.9)
    for text in ('recall=0.9', '2', 'much', 'precision='):
        with pytest.raises(Exception, match='expected a number between 0 and 1'):
            presence_limit(text)
