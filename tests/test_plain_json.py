from __future__ import annotations

import json
from pathlib import Path

import pytest

from flmm_plugin.apis.results import GroundedPhrase
from flmm_plugin.plain_json import to_json, write_json


def strict(text: str):
    def refuse(name: str):
        raise AssertionError(f'{name} is no JSON')

    return json.loads(text, parse_constant=refuse)


def test_numbers_that_are_none_become_null() -> None:
    value = {'a': float('nan'), 'b': [1.5, float('-inf'), ('x', float('inf'), None)], 'c': 2}
    assert strict(to_json(value, indent=2)) == {'a': None, 'b': [1.5, None, ['x', None, None]], 'c': 2}


def test_a_phrase_is_json_whatever_its_numbers() -> None:
    import numpy as np

    nothing = np.zeros((2, 2), bool)
    maps, nan = np.zeros((1, 1), np.float32), float('nan')
    phrase = GroundedPhrase('x', (), nan, float('inf'), False, None, None, nothing, maps)
    assert strict(json.dumps(phrase.to_dict()))['score'] is None


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    write_json(tmp_path / 'a.json', dict(a=1))
    with pytest.raises(TypeError):
        write_json(tmp_path / 'a.json', dict(a=object()))
    (tmp_path / 'folder').mkdir()
    with pytest.raises(IsADirectoryError):
        write_json(tmp_path / 'folder', 1)
    assert strict((tmp_path / 'a.json').read_text()) == dict(a=1)
    assert {path.name for path in tmp_path.iterdir()} == {'a.json', 'folder'}
