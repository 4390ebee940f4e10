"""The page's endpoints, for many visitors at once."""

from __future__ import annotations

import json
import os
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from flmm_plugin.apis.images import ImageError
from flmm_plugin.apis.web import build_page
from flmm_plugin.apis.web.answers import pieces, split_phrases
from flmm_plugin.apis.web.examples import example_files

QUESTION = 'Describe the image.'


def connect(address: str) -> Any:
    """A session of its own; a busy machine may take its time."""
    from gradio_client import Client

    return Client(address, verbose=False, httpx_kwargs=dict(timeout=120))


def visit(address: str, image: Path, *questions: str) -> list[Any]:
    """What a visitor's last question shows, each visitor with a session of their own."""
    from gradio_client import handle_file

    client = connect(address)
    client.predict(handle_file(image), api_name='/open')
    return [client.predict(question, 'refined', api_name='/ask') for question in questions][-1]


def said(shown: list[Any]) -> str:
    content = shown[0][-1]['content']
    return content if isinstance(content, str) else content[0]['text']


@pytest.mark.parametrize('visitors', [6, pytest.param(20, marks=pytest.mark.slow)])
def test_visitors_at_once_get_their_own_answers(address, inferencer, scenes, visitors) -> None:
    expected = [inferencer(scene, QUESTION).answer for scene in scenes]
    assert len(set(expected)) == len(scenes)
    with ThreadPoolExecutor(visitors) as pool:
        shown = list(pool.map(lambda i: visit(address, scenes[i % 5], QUESTION), range(visitors)))
    assert [said(one) for one in shown] == [expected[i % 5] for i in range(visitors)]
    for one in shown:
        assert ''.join(part['token'] for part in one[1]['value']) == said(one)


def test_a_visitor_s_conversation_goes_on(address, inferencer, scenes) -> None:
    shown = visit(address, scenes[0], QUESTION, 'What is at the top?')
    conversation = inferencer.converse(scenes[0])
    answers = [conversation.ask(question, max_new_tokens=48).answer for question in (QUESTION, 'What is at the top?')]
    assert said(shown) == answers[-1] and len(shown[0]) == 4


def test_downloaded_masks_are_those_of_the_answer(address, inferencer, scenes) -> None:
    shown = visit(address, scenes[1], QUESTION)
    answer = inferencer(scenes[1], QUESTION)
    with zipfile.ZipFile(shown[4]['value']) as file:
        assert json.loads(file.read('answer.json'))['answer'] == answer.answer
        names = sorted(name for name in file.namelist() if name[0].isdigit())
        assert len(names) == len(answer.phrases)
        for name, phrase in zip(names, answer.phrases, strict=True):
            with file.open(name) as mask:
                assert (np.asarray(Image.open(mask)) == phrase.mask).all()


def test_mistakes_are_shown_on_the_page(address, scenes, tmp_path) -> None:
    from gradio_client import handle_file
    from gradio_client.exceptions import AppError

    (tmp_path / 'note.png').write_text('text')
    Image.new('1', (10_000, 10_000)).save(tmp_path / 'huge.png')
    for name, message in (('note.png', 'note.png is not an image'), ('huge.png', 'too large')):
        with pytest.raises(AppError, match=message) as raised:
            visit(address, tmp_path / name, QUESTION)
        assert str(tmp_path) not in str(raised.value) and '/tmp' not in str(raised.value)
    with pytest.raises(AppError, match='question is empty'):
        visit(address, scenes[0], '  ')
    with pytest.raises(AppError, match='upload an image first'):
        connect(address).predict(QUESTION, 'refined', api_name='/ask')
    client = connect(address)
    client.predict(handle_file(scenes[0]), api_name='/open')
    with pytest.raises(AppError, match='name what is to be found'):
        client.predict(' ; ', 'refined', api_name='/find')
    (tmp_path / 'big.png').write_bytes(os.urandom(2**20 + 1))
    with pytest.raises(Exception, match=r'(?i)size'):
        connect(address).predict(handle_file(tmp_path / 'big.png'), api_name='/open')


def test_pieces_put_together_are_the_answer(inferencer, scenes) -> None:
    answer = inferencer(scenes[2], QUESTION)
    cut = pieces(answer)
    assert ''.join(text for text, _ in cut) == answer.answer
    assert {index for _, index in cut if index is not None} == set(range(len(answer.phrases)))


def test_phrases_that_are_given_are_found(address, inferencer, scenes) -> None:
    from gradio_client import handle_file

    client = connect(address)
    client.predict(handle_file(scenes[2]), api_name='/open')
    shown = client.predict('a star; the sky', 'refined', api_name='/find')
    assert [part['token'] for part in shown[1]['value']] == ['a star', 'the sky']
    expected = inferencer(scenes[2], phrases=['a star', 'the sky'])
    with zipfile.ZipFile(shown[4]['value']) as file:
        assert json.loads(file.read('answer.json')) == json.loads(json.dumps(expected.to_dict()))
    # The conversation goes on as if nothing had been looked for.
    assert said(client.predict(QUESTION, 'refined', api_name='/ask')) == inferencer(scenes[2], QUESTION).answer


def test_masks_of_what_is_hardly_there_fall_away(address, inferencer, scenes) -> None:
    from gradio_client import handle_file

    expected = inferencer(scenes[2], phrases=['a star', 'the sky'])
    low, high = sorted(phrase.presence for phrase in expected.phrases)
    assert low < high and len(expected.grounded) == 2
    client = connect(address)
    client.predict(handle_file(scenes[2]), api_name='/open')
    least = (low + high) / 2
    for shown, answer in (
        (client.predict('a star; the sky', 'refined', least, api_name='/find'), expected.at_least(least)),
        (client.predict('refined', 0, api_name='/limit'), expected),
        (client.predict('refined', 1, api_name='/limit'), expected.at_least(1)),
    ):
        assert shown[2].count('not grounded') == len(answer.phrases) - len(answer.grounded)
        assert [part['class_or_confidence'] is not None for part in shown[1]['value']] == [
            phrase.grounded for phrase in answer.phrases
        ]
        with zipfile.ZipFile(shown[4]['value']) as file:
            assert json.loads(file.read('answer.json')) == json.loads(json.dumps(answer.to_dict()))
            masks = [name for name in file.namelist() if name[0].isdigit()]
        assert len(masks) == len(answer.grounded)
    assert len(expected.at_least(least).grounded) == 1 and not expected.at_least(1).grounded


def test_only_a_model_with_a_presence_rule_has_its_control(inferencer, monkeypatch) -> None:
    def controls() -> list[gr.Slider]:
        return [block for block in build_page(inferencer).blocks.values() if isinstance(block, gr.Slider)]

    monkeypatch.setattr(inferencer.grounder, 'min_presence', 0.25)
    assert [(control.minimum, control.value) for control in controls()] == [(0.25, 0.25)]
    monkeypatch.setattr(inferencer.model, 'presence', None)
    assert controls() == []


@pytest.mark.parametrize(
    'text', ['a dog; the red ball', 'a dog\n the red ball \n', 'a dog, the red ball', ';a dog;;the red ball; ']
)
def test_phrases_are_separated_as_people_do(text) -> None:
    assert split_phrases(text) == ['a dog', 'the red ball']


def test_a_visitor_who_leaves_in_mid_answer_frees_the_model(address, inferencer, scenes) -> None:
    from gradio_client import handle_file

    client = connect(address)
    client.predict(handle_file(scenes[0]), api_name='/open')
    job = client.submit(QUESTION, 'refined', api_name='/ask')
    while not job.outputs():
        time.sleep(0.01)
    job.cancel()
    assert said(visit(address, scenes[3], QUESTION)) == inferencer(scenes[3], QUESTION).answer
    assert inferencer.grounder.lock.acquire(timeout=10)
    inferencer.grounder.lock.release()


def test_examples_are_those_that_are_given(tmp_path) -> None:
    with pytest.raises(ImageError, match='there is no image file'):
        example_files([tmp_path / 'none.png'], tmp_path)
    drawn = example_files(None, tmp_path / 'examples')
    assert len(drawn) == 3 and example_files(drawn, tmp_path) == drawn
