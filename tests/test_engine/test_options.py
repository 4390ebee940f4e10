"""--cfg-options: mmengine's values, and spaces in them."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import DictAction

from flmm_plugin.engine.options import OptionsAction
from tests.test_engine.tiny_runs import ROOT


def parse(*arguments: str, action: Any = OptionsAction) -> dict[str, Any]:
    parser = ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=action)
    return parser.parse_args(['--cfg-options', *arguments]).cfg_options


@pytest.mark.parametrize(
    ('argument', 'value'),
    [
        ('/data/my scenes', '/data/my scenes'),
        ('/data/two  spaces', '/data/two  spaces'),
        ('/data/my scenes (old)', '/data/my scenes (old)'),
        (' /data/x ', '/data/x'),
        ("'Name the things.'", 'Name the things.'),
        ('[the dog, a red ball]', ['the dog', 'a red ball']),
        ('[(1, 2), (3, a b)]', [(1, 2), (3, 'a b')]),
        ('What is a=b ?', 'What is a=b ?'),
        ('1, 2', [1, 2]),
        ('"Look, a dog"', 'Look, a dog'),
        ("'2024'", '2024'),
        ('Say "yes"', 'Say "yes"'),
        ("'tis", "'tis"),
        ('(old) x', '(old) x'),
        ('~/x', os.path.expanduser('~/x')),
    ],
)
def test_spaces_stay(argument: str, value: Any) -> None:
    assert parse(f'key={argument}') == {'key': value}


@pytest.mark.parametrize('value', ['1', '1e-4', 'True', 'None', 'a,b', '[1,2]', '[(a,b),[1]]', '()', '', '"x"', 'a=b'])
def test_values_without_spaces_are_mmengine_s(value: str) -> None:
    assert parse(f'a.b={value}') == parse(f'a.b={value}', action=DictAction)


TEXTS = ['/data/a,b', '[x]', '2024', '1_000', 'nan', 'None', 'Look, "what" is there?', '/a=b', 'ü']


@pytest.mark.parametrize('value', TEXTS)
def test_folders_and_questions_are_texts_whatever_they_look_like(value: str) -> None:
    assert parse(f'data_root={value}', f'a.0.prompt={value}') == {'data_root': value, 'a.0.prompt': value}


@pytest.mark.parametrize('argument', ['scenes', 'key=[1,(2]', '=x', 'a..b=1'])
def test_mistakes_get_a_line(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(argument)
    assert 'error: ' in capsys.readouterr().err


def test_every_tool_keeps_spaces() -> None:
    tools = {path.name: path.read_text() for path in Path(ROOT, 'tools').glob('*.py')}
    assert 'action=OptionsAction' in tools['train.py']
    assert [name for name, text in tools.items() if 'action=DictAction' in text] == []
