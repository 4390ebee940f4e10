"""tools/export.py and the tools that read what it wrote."""

from __future__ import annotations

import io
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save

from flmm_plugin.apis import FLMMInferencer
from flmm_plugin.errors import UserError
from tests.tiny_checkpoint import CONFIG, draw_scene, save_checkpoint
from tests.tiny_llava import save_tiny_llava

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('export')
    save_checkpoint(folder)
    Image.fromarray(draw_scene(1)).save(folder / 'scene.png')
    (folder / 'metrics.json').write_text(json.dumps({'png/narrative/mIoU_thing': 0.8125, 'note': 'x'}))
    return folder


@pytest.fixture
def tool(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs a tool in the folder, in this process; gives back exit status and what was printed."""

    def run(name: str, *words: str) -> tuple[int, str]:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, 'argv', [name, *words])
        code = 0
        try:
            runpy.run_path(str(TOOLS / name), run_name='__main__')
        except SystemExit as stopped:
            code = 1 if isinstance(stopped.code, str) else int(stopped.code or 0)
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return run


def weights_of(path: Path) -> tuple[bytes, dict[str, str]]:
    with safe_open(path, framework='pt') as file:
        return save(load_file(path)), file.metadata()


def export(tool, *words: str) -> None:
    code, printed = tool('export.py', 'flmm.pth', 'hub', '--config', str(CONFIG), *words)
    assert code == 0 and 'tensors' in printed


def test_a_checkpoint_becomes_a_folder_and_a_file_again(tool, folder: Path) -> None:
    export(tool, '--metrics', 'metrics.json', '--test-data', '10 scenes', '--command', 'python tools/test.py C P')
    assert tool('export.py', 'hub', 'back.pth')[0] == 0
    card = (folder / 'hub/README.md').read_text()
    assert '| `png/narrative/mIoU_thing` | 0.8125 |' in card and '10 scenes' in card and 'tools/test.py C P' in card
    assert 'trained on | PNGDataset (data/scenes/png/png_coco_train.json), RefCOCODataset (' in card
    image = draw_scene(1)
    expected = FLMMInferencer(CONFIG, folder / 'flmm.pth', 'cpu')(image, phrases=['the ring', 'the sky'])
    for ask in (
        FLMMInferencer(CONFIG, folder / 'back.pth', 'cpu'),
        FLMMInferencer.from_pretrained(folder / 'hub', 'cpu'),
    ):
        result = ask(image, phrases=['the ring', 'the sky'])
        assert [phrase.score for phrase in result.phrases] == [phrase.score for phrase in expected.phrases]
        for one, other in zip(result.phrases, expected.phrases, strict=True):
            assert np.array_equal(one.mask, other.mask)


def test_the_way_there_and_back_changes_no_byte(tool, folder: Path) -> None:
    checkpoint = torch.load(folder / 'flmm.pth', weights_only=True)
    checkpoint['meta'] = {**checkpoint.get('meta', {}), 'lmm_revision': '0a1b', 'training_data': '9 scenes'}
    torch.save(checkpoint, folder / 'flmm.pth')
    export(tool)
    assert tool('export.py', 'hub', 'back.pth')[0] == 0
    assert tool('export.py', 'back.pth', 'again', '--config', str(CONFIG))[0] == 0
    assert (folder / 'hub/config.json').read_bytes() == (folder / 'again/config.json').read_bytes()
    # safetensors writes its few words of metadata in any order, and the tensors after them in one.
    first, again = (weights_of(folder / name / 'model.safetensors') for name in ('hub', 'again'))
    assert first == again
    assert json.loads((folder / 'again/config.json').read_text())['trained_on']['revision'] == '0a1b'
    assert '| trained on | 9 scenes |' in (folder / 'again/README.md').read_text()
    back = torch.load(folder / 'back.pth', weights_only=True)['state_dict']
    assert set(back) == set(checkpoint['state_dict'])
    assert all(torch.equal(value, back[name]) for name, value in checkpoint['state_dict'].items())


def test_the_authors_checkpoints_hold_more_than_what_is_trained(tool, folder: Path) -> None:
    """SAM's encoder and the LMM may be among them, and there is no `meta`."""
    trained = torch.load(folder / 'flmm.pth', weights_only=True)['state_dict']
    frozen = {'llava.model.w': torch.ones(2), 'sam.model.image_encoder.w': torch.ones(2)}
    torch.save({**trained, **frozen}, folder / 'authors.pth')
    assert tool('export.py', 'authors.pth', 'theirs', '--config', str(CONFIG))[0] == 0
    assert set(load_file(folder / 'theirs/model.safetensors')) == set(trained)
    assert FLMMInferencer.from_pretrained(folder / 'theirs', 'cpu')(draw_scene(1), phrases=['the ring']).phrases
    assert f'tools/test.py {CONFIG} theirs.pth' in (folder / 'theirs/README.md').read_text()


def test_chat_talks_by_a_folder_alone(tool, folder: Path) -> None:
    export(tool)
    code, printed = tool('chat.py', 'scene.png', '--phrases', 'the ring', '--checkpoint', 'hub', '--device', 'cpu')
    assert code == 0 and 'the ring' in printed


def test_chat_needs_nothing_but_a_picture(tool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, 'stdin', io.StringIO())
    code, printed = tool('chat.py', 'scene.png', '--device', 'cpu')
    assert code == 0 and 'answer_1.png' in printed and 'score 0.' in printed


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--checkpoint', 'flmm.pth'], 'needs --config'),
        (['--config', str(CONFIG)], 'needs --checkpoint'),
        (['--checkpoint', 'no/such/folder/here'], 'no name of the Hub'),
    ],
)
def test_models_that_are_half_named(tool, words: list[str], message: str) -> None:
    code, printed = tool('chat.py', 'scene.png', 'What?', *words)
    assert code == 1 and message in printed


def test_an_exported_file_remembers_its_lmm(tool, folder: Path) -> None:
    export(tool)
    assert tool('export.py', 'hub', 'back.safetensors')[0] == 0
    config = Config.fromfile(CONFIG)
    config.model.lmm.pretrained = str(save_tiny_llava(folder / 'other'))
    with pytest.raises(UserError):
        FLMMInferencer(config, folder / 'back.safetensors', 'cpu')


def test_half_precision_halves_the_file(tool, folder: Path) -> None:
    export(tool)
    whole = (folder / 'hub/model.safetensors').stat().st_size
    export(tool, '--half')
    assert (folder / 'hub/model.safetensors').stat().st_size < 0.6 * whole


def test_the_config_is_asked_for(tool, folder: Path) -> None:
    code, printed = tool('export.py', 'flmm.pth', 'somewhere')
    assert code == 1 and '--config' in printed
