"""The web page: its endpoints for many at once, and what a person sees in a browser."""

from __future__ import annotations

import json
import os
import shutil
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

gr = pytest.importorskip('gradio', reason='the web page needs Gradio')

from flmm_plugin.apis import FLMMInferencer  # noqa: E402
from flmm_plugin.apis.web import build_page, pieces  # noqa: E402
from tests.tiny_checkpoint import CONFIG, draw_scene, save_checkpoint  # noqa: E402

QUESTION = 'Describe the image.'
CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
DRIVER = shutil.which('chromedriver')


@pytest.fixture(scope='module')
def inferencer(tmp_path_factory: pytest.TempPathFactory) -> FLMMInferencer:
    checkpoint = save_checkpoint(tmp_path_factory.mktemp('flmm'))
    return FLMMInferencer(CONFIG, checkpoint, 'cpu', extractor=dict(type='RulePhrases'), min_score=-10.0)


@pytest.fixture(scope='module')
def address(inferencer: FLMMInferencer) -> Iterator[str]:
    page = build_page(inferencer, max_new_tokens=48)
    _, url, _ = page.launch(
        prevent_thread_lock=True, quiet=True, server_name='127.0.0.1', ssr_mode=False, max_file_size=2**20
    )
    yield url
    page.close()


@pytest.fixture(scope='module')
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp('scenes')
    for index in range(5):
        Image.fromarray(draw_scene(index)).save(folder / f'{index}.png')
    return sorted(folder.iterdir())


def visit(address: str, image: Path, *questions: str) -> list[Any]:
    """What a visitor's last question shows, each visitor with a session of their own."""
    from gradio_client import Client, handle_file

    client = Client(address, verbose=False)
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
    from gradio_client import Client, handle_file
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
        Client(address, verbose=False).predict(QUESTION, 'refined', api_name='/ask')
    (tmp_path / 'big.png').write_bytes(os.urandom(2**20 + 1))
    with pytest.raises(Exception, match=r'(?i)size'):
        Client(address, verbose=False).predict(handle_file(tmp_path / 'big.png'), api_name='/open')


def test_pieces_put_together_are_the_answer(inferencer, scenes) -> None:
    answer = inferencer(scenes[2], QUESTION)
    cut = pieces(answer)
    assert ''.join(text for text, _ in cut) == answer.answer
    assert {index for _, index in cut if index is not None} == set(range(len(answer.phrases)))


@pytest.fixture
def browser() -> Iterator[Any]:
    webdriver = pytest.importorskip('selenium.webdriver', reason='driving a browser needs selenium')
    if CHROMIUM is None or DRIVER is None:
        pytest.skip('no browser: install the Debian packages chromium and chromium-driver')
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    size = '--window-size=1300,1150'
    for argument in ('--headless=new', '--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', size):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def wait_for(what, seconds: float = 60) -> Any:
    """The first true value of ``what()``; pages take their time."""
    from selenium.common.exceptions import StaleElementReferenceException

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if found := what():
                return found
        except StaleElementReferenceException:
            pass
        time.sleep(0.1)
    raise TimeoutError(f'nothing after {seconds} s')


def test_a_person_uploads_asks_and_sees_the_masks(browser, address, inferencer, scenes) -> None:
    def find(selector: str) -> list[Any]:
        return browser.find_elements('css selector', selector)

    def source() -> str:
        images = find('#picture img')
        return images[0].get_attribute('src') if images else ''

    answer = inferencer(scenes[1], QUESTION)
    browser.get(address)
    wait_for(lambda: find('#upload input[type=file]'))[0].send_keys(str(scenes[1]))
    uploaded = wait_for(source)
    find('#question textarea')[0].send_keys(QUESTION)
    find('#ask')[0].click()
    marked = wait_for(lambda: find('#answer .highlighted'))
    assert [e.text for e in marked] == [text for text, index in pieces(answer) if index is not None]
    assert len({e.value_of_css_property('background-color') for e in marked}) == len(answer.phrases)
    assert answer.answer in find('#chat .bot')[-1].text
    all_shown = wait_for(lambda: source() not in ('', uploaded) and source())
    marked[1].click()
    alone = wait_for(lambda: source() not in ('', all_shown) and source())
    find('#view input[value=attention]')[0].click()
    wait_for(lambda: source() not in ('', all_shown, alone))
    find('#view input[value=refined]')[0].click()
    find('#all')[0].click()
    wait_for(lambda: source() not in ('', alone))
    if folder := os.environ.get('FLMM_SCREENSHOTS'):
        browser.save_screenshot(str(Path(folder) / 'web_demo.png'))
