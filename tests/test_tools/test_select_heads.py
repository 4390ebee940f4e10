"""tools/select_heads.py as a user runs it, without masks: on training data, and on plain pictures."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from flmm_plugin.datasets.scenes import write_scenes

ROOT = Path(__file__).resolve().parents[2]
CONFIG = str(ROOT / 'configs/tiny/attention_tiny_scenes.py')


@pytest.fixture
def select(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Runs the tool in this process and reads what it wrote; starting Python and torch anew takes longer."""

    def run(*words: str | Path) -> dict[str, Any]:
        out = tmp_path / 'heads.json'
        command = ['select_heads.py', *map(str, words), '--num', '4', '--samples', '3', '--out', str(out)]
        monkeypatch.setattr(sys, 'argv', command)
        runpy.run_path(str(ROOT / 'tools/select_heads.py'), run_name='__main__')
        content = json.loads(out.read_text())
        assert len(content['heads']) == len(content['scores']) == 4
        assert Image.open(tmp_path / 'heads.png').width > 800
        return content

    return run


@pytest.mark.parametrize('criterion', ['localization', 'contrast'])
def test_on_training_data_without_its_masks(select: Callable, criterion: str, tmp_path: Path) -> None:
    write_scenes(tmp_path / 'scenes', 3, seed=0, fractions=(1, 0, 0))
    options = ('--cfg-options', f'data_root={tmp_path / "scenes"}')
    assert select(CONFIG, '--criterion', criterion, *options)['criterion'] == criterion


def test_on_pictures_that_the_lmm_captions(select: Callable, pictures: Path, capsys: pytest.CaptureFixture) -> None:
    content = select(CONFIG, '--images', pictures)
    assert content['criterion'] == 'contrast' and content['samples'] == 3
    assert 'heads.png' in capsys.readouterr().out


def test_an_lmm_without_a_config_on_pictures_with_phrases(select: Callable, pictures: Path, tmp_path: Path) -> None:
    phrases = ['the sky', 'a small red star']
    (tmp_path / 'each.json').write_text(json.dumps({f'{index:02d}.png': phrases for index in range(10)}))
    given = ('--images', str(pictures / '0*.png'), '--phrases-file', tmp_path / 'each.json')
    with pytest.raises(SystemExit) as refused:
        select('--lmm', 'flmm_plugin::tiny_llava', *given)
    assert refused.value.code == 1  # the glob's names are whole paths
    names = {str(pictures / f'{index:02d}.png'): phrases for index in range(10)}
    (tmp_path / 'each.json').write_text(json.dumps(names))
    content = select('--lmm', 'flmm_plugin::tiny_llava', *given, '--criterion', 'localization')
    assert content['lmm'] == 'flmm_plugin::tiny_llava' and content['samples'] == 3


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        ((), 'give a config, or --lmm and --images'),
        (('--lmm', 'flmm_plugin::tiny_llava'), 'give a config, or --lmm and --images'),
        ((CONFIG, '--images', 'x', '--criterion', 'masks'), 'pictures have no masks'),
        ((CONFIG, '--images', 'nowhere'), 'nowhere names no picture'),
        ((CONFIG, '--phrases-file', 'x.json'), 'are about --images'),
    ],
)
def test_wrong_use(select: Callable, words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        select(*words)
    assert message in capsys.readouterr().err
