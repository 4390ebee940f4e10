"""tools/chat.py as a user runs it."""

from __future__ import annotations

import io
import json
import runpy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from tests.tiny_checkpoint import CONFIG, draw_scene, save_checkpoint

TOOL = Path(__file__).resolve().parents[2] / 'tools/chat.py'


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@dataclass
class Done:
    code: int
    stdout: str
    stderr: str


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('chat')
    save_checkpoint(folder)
    Image.fromarray(draw_scene(1)).save(folder / 'scene.png')
    return folder


@pytest.fixture
def chat(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Runs the tool in this process: starting Python and torch anew takes longer than everything it does."""

    def run(*words: str, typed: str = '', out: io.StringIO | None = None) -> Done:
        model = ['--config', str(CONFIG), '--checkpoint', 'flmm.pth', '--min-score', '-10', '--extractor', 'rules']
        out, errors = out or io.StringIO(), io.StringIO()
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, 'argv', [str(TOOL), *words, *model, '--device', 'cpu'])
        for name, stream in (('stdin', io.StringIO(typed)), ('stdout', out), ('stderr', errors)):
            monkeypatch.setattr(sys, name, stream)
        code = 0
        try:
            runpy.run_path(str(TOOL), run_name='__main__')
        except SystemExit as stopped:
            code = 1 if isinstance(stopped.code, str) else int(stopped.code or 0)
        finally:
            monkeypatch.undo()
        return Done(code, out.getvalue(), errors.getvalue())

    return run


def test_one_question(chat: Callable[..., Done], folder: Path) -> None:
    done = chat('scene.png', 'Describe the image.', '--out-dir', 'one')
    assert done.code == 0, done.stderr
    plain = json.loads((folder / 'one/answer.json').read_text())
    assert done.stdout.splitlines()[0] == plain['answer'] and '\x1b' not in done.stdout
    assert len(plain['phrases']) >= 3 and all(f'{p["text"]}: box' in done.stdout for p in plain['phrases'])
    assert Image.open(folder / 'one/answer.png').size == (576, 576)


def test_a_conversation_from_standard_input(chat: Callable[..., Done], folder: Path) -> None:
    done = chat('scene.png', '--out-dir', 'many', typed='Describe the image.\nWhat is at the top?\n\n')
    assert done.code == 0, done.stderr
    for turn in (1, 2):
        assert json.loads((folder / f'many/answer_{turn}.json').read_text())['answer'] in done.stdout


def test_an_image_alone_is_described(chat: Callable[..., Done], folder: Path) -> None:
    done = chat('scene.png', '--out-dir', 'alone')
    assert done.code == 0, done.stderr
    assert json.loads((folder / 'alone/answer_1.json').read_text())['question'] == 'Describe the image.'


def test_given_phrases(chat: Callable[..., Done], folder: Path) -> None:
    done = chat('scene.png', '--phrases', 'the sky', 'the red star', '--out-dir', 'given')
    assert done.code == 0, done.stderr
    plain = json.loads((folder / 'given/phrases.json').read_text())
    assert [phrase['text'] for phrase in plain['phrases']] == ['the sky', 'the red star']


def test_phrases_are_coloured_in_a_terminal(
    chat: Callable[..., Done], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv('NO_COLOR', raising=False)
    monkeypatch.setenv('TERM', 'xterm')
    done = chat('scene.png', 'Describe the image.', out=Terminal())
    assert done.code == 0 and '\x1b[1;38;2;230;25;75mthe ' in done.stdout


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['note.png', 'What?'], 'note.png is not an image'),
        (['nowhere.png', 'What?'], 'no image file nowhere.png'),
        (['scene.png', ' '], 'the question is empty'),
        (['scene.png', 'What?', '--caption'], 'exclude each other'),
    ],
)
def test_mistakes_are_one_clear_line(chat: Callable[..., Done], folder: Path, words: list[str], message: str) -> None:
    (folder / 'note.png').write_text('text')
    done = chat(*words)
    assert done.code != 0 and message in done.stderr and 'Traceback' not in done.stderr
