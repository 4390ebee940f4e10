"""--cfg-options: mmengine's values, and spaces in them."""

from __future__ import annotations

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
    ],
)
def test_spaces_stay(argument: str, value: Any) -> None:
    assert parse(f'key={argument}') == {'key': value}


@pytest.mark.parametrize('value', ['1', '1e-4', 'True', 'None', 'a,b', '[1,2]', '[(a,b),[1]]', '()', '', '"x"', 'a=b'])
def test_values_without_spaces_are_mmengine_s(value: str) -> None:
    assert parse(f'a.b={value}') == parse(f'a.b={value}', action=DictAction)


@pytest.mark.parametrize('argument', ['scenes', 'key=[1,(2]'])
def test_mistakes_get_a_line(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(argument)
    assert 'error: ' in capsys.readouterr().err


def test_every_tool_keeps_spaces() -> None:
    tools = {path.name: path.read_text() for path in Path(ROOT, 'tools').glob('*.py')}
    assert 'action=OptionsAction' in tools['train.py']
    assert [name for name, text in tools.items() if 'action=DictAction' in text] == []
