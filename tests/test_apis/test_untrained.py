"""An inferencer from the names of an LMM and a segmenter alone, and which heads it points by."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mmengine.logging import MMLogger
from transformers import LlavaForConditionalGeneration

from flmm_plugin.apis import FLMMInferencer
from flmm_plugin.apis.head_choice import pair_up, rank_by_pictures
from flmm_plugin.apis.untrained import adapter_of, refiner_of
from flmm_plugin.assets import resolve
from flmm_plugin.errors import UserError
from flmm_plugin.models.capture.heads import HeadsError, middle_heads
from flmm_plugin.models.weights.untrained import TrainingError
from tests.conftest import REAL
from tests.tiny_checkpoint import draw_scene
from tests.tiny_lmms import FAMILIES
from tests.tiny_segmenters import save_segmenter

LMM, SAM = 'flmm_plugin::tiny_llava', 'flmm_plugin::tiny_sam.safetensors'


@pytest.fixture(scope='module')
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny LMM with its last layer changed: the same shapes, another fingerprint."""
    folder = tmp_path_factory.mktemp('other')
    for file in Path(resolve(LMM)).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    model = LlavaForConditionalGeneration.from_pretrained(folder)
    with torch.no_grad():
        model.get_decoder().layers[-1].mlp.down_proj.weight.mul_(1.01)
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What MMEngine's logger, which passes nothing on, says."""
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def test_names_alone_point_with_the_heads_that_ship(log: pytest.LogCaptureFixture) -> None:
    ask = FLMMInferencer(lmm=LMM, sam=SAM, device='cpu')
    shipped = json.loads(Path(resolve('flmm_plugin::heads/tiny_llava.json')).read_text())['heads']
    assert ask.model.lmm.heads == tuple(sorted(shipped))
    assert 'tiny_llava.json' in log.text and 'nothing trained takes part' in log.text
    answer = ask(draw_scene(0), 'Describe the image.')
    assert len(answer.grounded) >= 3 and all(phrase.mask.any() for phrase in answer.grounded)


def test_heads_are_chosen_on_pictures_once(
    other: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    """By the LMM's own captions; the next time they are known, whatever pictures are given."""
    monkeypatch.setenv('FLMM_CACHE', str(tmp_path))
    options = dict(lmm=other, sam=SAM, device='cpu', caption_prompt='Describe the image.')
    chosen = FLMMInferencer(**options, pictures=pictures / 'more').model.lmm
    (file,) = (tmp_path / 'heads').iterdir()
    content = json.loads(file.read_text())
    assert file.stem == content['fingerprint'] == chosen.fingerprint() and content['samples'] == 2
    assert chosen.heads == tuple(sorted(content['heads'])) and len(chosen.heads) == 8
    assert f'chosen by contrast on 2 pictures, kept in {file}' in log.text
    assert FLMMInferencer(**options).model.lmm.heads == chosen.heads


@pytest.mark.parametrize('kept', ['', '{"heads"', '[]', 'folder'])
def test_a_damaged_cache_is_passed_over_and_mended(
    other: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kept: str
) -> None:
    monkeypatch.setenv('FLMM_CACHE', str(tmp_path))
    options = dict(lmm=other, sam='none', device='cpu')
    file = tmp_path / f'heads/{FLMMInferencer(**options, heads=[0]).model.lmm.fingerprint()}.json'
    file.parent.mkdir()
    file.mkdir() if kept == 'folder' else file.write_text(kept)
    with pytest.warns(UserWarning, match='passed over'):
        assert FLMMInferencer(**options).model.lmm.heads == tuple(range(8, 24))
    with pytest.warns(UserWarning, match='passed over'):
        chosen = FLMMInferencer(**options, pictures=[(draw_scene(0), ['the sky', 'a star'])]).model.lmm.heads
    assert kept == 'folder' or chosen == tuple(sorted(json.loads(file.read_text())['heads']))


def test_bad_pictures_choose_no_heads(other: Path, tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    """One image alone is not taken for a list of its rows; what cannot be read is left out, unless nothing can."""
    (tmp_path / 'bad.png').write_text('no picture')
    options = dict(lmm=other, sam='none', device='cpu', caption_prompt='Describe the image.')
    ask = FLMMInferencer(**options, heads=[0])
    grounder, question = ask.grounder, ask.caption_prompt
    ask.model.lmm.heads = None
    for pictures in (draw_scene(0), [tmp_path / 'bad.png', [draw_scene(0), ['the sky', 'a star']]]):
        ranked, examples = rank_by_pictures(grounder, pair_up(pictures), question)
        assert ranked['samples'] == len(examples) == 1 and len(ranked['heads']) == 32
    assert 'left out' in log.text
    for text in ([], ['the sky', ''], 3):
        with pytest.raises(UserError, match='list of expressions'):
            rank_by_pictures(grounder, [(draw_scene(0), text)], question)
    with pytest.raises(UserError, match=r'bad\.png is not an image'):
        rank_by_pictures(grounder, pair_up(tmp_path), question)


def test_captions_and_phrases_serve_as_well(other: Path) -> None:
    """The choice depends on the words: those of another picture give other scores."""
    ask = FLMMInferencer(
        lmm=other,
        sam='none',
        device='cpu',
        pictures=[
            (draw_scene(0), 'the sky is above the grass . a large red star .'),
            (draw_scene(1), ['the sky', 'a small blue ring']),
        ],
    )
    assert len(ask.model.lmm.heads) == 8


def test_without_pictures_the_middle_layers_point(other: Path, log: pytest.LogCaptureFixture) -> None:
    ask = FLMMInferencer(lmm=other, sam=SAM, device='cpu')
    assert ask.model.lmm.heads == tuple(range(8, 24)) and 'give pictures' in log.text
    assert middle_heads(1, 4) == range(4) and middle_heads(30, 2) == range(20, 40)


def test_adapters_and_refiners(tmp_path: Path) -> None:
    for name, (save, adapter) in FAMILIES.items():
        assert adapter_of(str(save(tmp_path / name))) == adapter
    assert refiner_of(SAM)['arch'] == 'tiny' and 'multimask_output' not in refiner_of(SAM)
    assert refiner_of(save_segmenter('sam', tmp_path / 'sam'))['type'] == 'HFSAMRefiner'
    if (REAL / 'sam/mobile_sam.pt').exists():
        found = refiner_of(REAL / 'sam/mobile_sam.pt')
        assert found['arch'] == 'vit_t' and found['multimask_output']


def test_wrong_use_is_one_clear_error(other: Path, tmp_path: Path) -> None:
    torch.save({'image_encoder.pos_embed': torch.zeros(1, 3, 3, 5)}, tmp_path / 'odd.pth')
    for options, message in (
        (dict(), 'which model'),
        (dict(lmm=LMM), 'no SAM: give sam='),
        (dict(lmm=LMM, sam='nowhere/sam_vit_b.pth'), 'no SAM file nowhere/sam_vit_b.pth'),
        (dict(lmm=LMM, sam=tmp_path / 'odd.pth'), "none of segment-anything's models"),
        (dict(lmm=str(tmp_path), sam=SAM), 'its config cannot be loaded'),
        (dict(config='configs/tiny/attention_tiny_scenes.py', sam=SAM), 'for a model without a config'),
    ):
        with pytest.raises(UserError, match=message):
            FLMMInferencer(**options, device='cpu')
    with pytest.raises(TrainingError, match='no checkpoint belongs to it'):
        FLMMInferencer(None, 'some.pth', lmm=LMM, sam=SAM)
    with pytest.raises(HeadsError, match='was made for'):
        FLMMInferencer(lmm=other, sam=SAM, heads='flmm_plugin::heads/tiny_llava.json', device='cpu')
    with pytest.raises(UserError, match='whose caption has two phrases'):
        FLMMInferencer(lmm=other, sam=SAM, device='cpu', pictures=[(draw_scene(0), ['the sky'])])
