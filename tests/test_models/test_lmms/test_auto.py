"""AutoLMM on tiny random LMMs behind their real processors."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CONFIG_MAPPING, LlamaConfig

from flmm_plugin.errors import UserError
from flmm_plugin.models.layouts.certificate import examine
from flmm_plugin.models.lmms import AutoLMM, LlavaLMM
from flmm_plugin.models.lmms.processing import process, to_picture
from flmm_plugin.structures import Segment
from tests.auto_families import FAMILIES, FURTHER
from tests.tiny_flmm import random_image

ANSWER = [Segment('there is'), Segment('a dog', 0), Segment('and'), Segment('the sky', 1)]


@pytest.fixture(scope='module', params=sorted(FAMILIES))
def lmm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AutoLMM:
    return AutoLMM(str(FAMILIES[request.param](tmp_path_factory.mktemp(request.param))), certify=False)


@pytest.mark.parametrize('size', [(100, 180), (300, 120)])
def test_prompt_is_the_processors_own(lmm: AutoLMM, size: tuple[int, int]):
    image = random_image(*size)
    whole = process(lmm.processor, lmm.render('describe this image'), to_picture(image))['input_ids'][0]
    sample = lmm.prepare(image, 'describe this image', ANSWER)
    assert sample.input_ids[: len(whole)].tolist() == whole.tolist()
    assert (sample.phrase_ids[: len(whole)] == -1).all() and sample.num_phrases == 2


def test_every_picture_has_as_many_grids(lmm: AutoLMM):
    for size in [(60, 60), (100, 180), (300, 120)]:
        sample = lmm.prepare(random_image(*size), 'describe', ANSWER)
        assert len(sample.grids) == lmm.num_grids
        for grid in sample.grids:
            assert len(grid.columns) == grid.height * grid.width
            assert (sample.input_ids[grid.columns] == lmm.image_token_id).all()


def test_centre_crop_of_the_shipped_llava():
    lmm = AutoLMM('flmm_plugin::tiny_llava')
    (grid,) = lmm.prepare(random_image(112, 224), 'What is there?').grids
    assert grid.region is not None and grid.region.left < 0 and grid.region.width == 2 * grid.region.padded_width
    maps = torch.arange(14.0).expand(14, 14)
    cropped = grid.region.crop(maps)
    assert cropped.shape == (14, 28)
    assert cropped[0].tolist() == [0.0] * 7 + list(range(14)) + [13.0] * 7


def test_square_picture_gives_the_maps_of_the_adapter():
    text = ('What is there?', [Segment('a red'), Segment(' circle', 0)])
    image = random_image(112, 112)
    first, second = AutoLMM('flmm_plugin::tiny_llava', certify=False), LlavaLMM('flmm_plugin::tiny_llava')
    maps = [lmm([lmm.prepare(image, *text)])[0].attention_maps for lmm in (first, second)]
    assert torch.allclose(*maps, atol=1e-3)


@pytest.mark.skipif('qwen2_5_omni' not in FURTHER, reason='earlier releases list no omni model')
def test_omni_model_is_read_by_the_part_that_thinks(tmp_path: Path):
    thinker = FURTHER['qwen2_5_omni'](tmp_path)
    config = CONFIG_MAPPING['qwen2_5_omni'](thinker_config=json.loads((thinker / 'config.json').read_text()))
    weights = load_file(thinker / 'model.safetensors')
    alone = AutoLMM(str(thinker), certify=False)
    config.save_pretrained(thinker)
    save_file(
        {f'thinker.{name}': value for name, value in weights.items()},
        thinker / 'model.safetensors',
        metadata={'format': 'pt'},
    )
    assert AutoLMM(str(thinker), certify=False).weights_hash() == alone.weights_hash()


def test_text_model_is_refused(tmp_path: Path):
    LlamaConfig(hidden_size=32, num_hidden_layers=1).save_pretrained(tmp_path)
    with pytest.raises(UserError, match='no image-text model'):
        AutoLMM(str(tmp_path))


def test_unreachable_hub(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    with pytest.raises(UserError, match='cannot be loaded'):
        AutoLMM('nobody/no-such-model')


def test_folder_without_processor(tiny_llava_dir: Path, tmp_path: Path):
    (tmp_path / 'config.json').write_text((tiny_llava_dir / 'config.json').read_text())
    with pytest.raises(UserError, match=r'process'):
        AutoLMM(str(tmp_path))


@pytest.mark.parametrize('name', ['no/such/folder/here', './absent'])
def test_absent_folder(name: str):
    with pytest.raises(UserError, match=r'its config cannot be loaded \(.+\)'):
        AutoLMM(name)


@pytest.mark.parametrize('family', ['qwen2_5_vl', 'mistral3'])
def test_limits_tokens_of_a_picture(family: str, tmp_path: Path):
    if family not in FAMILIES:
        pytest.skip('not in this transformers')
    folder = str(FAMILIES[family](tmp_path))
    limits = {'qwen2_5_vl': dict(max_pixels=112 * 112), 'mistral3': dict(size={'longest_edge': 112})}
    full, limited = (
        AutoLMM(folder, certify=False, processor_kwargs=options).prepare(random_image(280, 280), 'the dog')
        for options in ({}, limits[family])
    )
    counts = [len(sample.finest_grid.columns) for sample in (full, limited)]
    assert counts[1] <= (16 if family == 'qwen2_5_vl' else 49) < counts[0]


@pytest.mark.skipif('gemma3' not in FAMILIES, reason='earlier releases have no Gemma 3')
def test_pan_and_scan_is_read_or_refused(tmp_path: Path):
    folder = str(FAMILIES['gemma3'](tmp_path))
    lmm = AutoLMM(folder, certify=False, processor_kwargs=dict(do_pan_and_scan=True))
    for size, shapes in (((300, 900), [(4, 4), (4, 12)]), ((150, 150), [(4, 4)])):
        verdict = examine(lmm, size)
        assert [tuple(grid.tokens.shape) for grid in lmm.layout(size).grids] == shapes
        assert verdict.cells == sum(high * wide for high, wide in shapes) and not verdict.wrong
    with pytest.raises(UserError, match='goes there by itself'):
        AutoLMM(folder, processor_kwargs=dict(images_kwargs=dict(do_pan_and_scan=True)))


@pytest.mark.skipif(find_spec('flash_attn') is not None, reason='flash attention is there')
@pytest.mark.skipif('internvl' not in FAMILIES, reason='earlier releases have no InternVL')
def test_flash_attention_that_is_not_there(tmp_path: Path):
    folder = FAMILIES['internvl'](tmp_path)
    config = json.loads((folder / 'config.json').read_text())
    (folder / 'config.json').write_text(json.dumps(dict(config, _attn_implementation='flash_attention_2')))
    with pytest.raises(UserError, match='take that line out'):
        AutoLMM(str(folder), certify=False)


def test_processor_without_chat_template(tiny_llava_dir: Path, tmp_path: Path):
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(tiny_llava_dir)
    processor.chat_template = processor.tokenizer.chat_template = None
    processor.save_pretrained(tmp_path)
    (tmp_path / 'config.json').write_text((tiny_llava_dir / 'config.json').read_text())
    with pytest.raises(UserError, match='chat template'):
        AutoLMM(str(tmp_path))


def test_too_long_for_the_context(tiny_llava_dir: Path):
    lmm = AutoLMM(str(tiny_llava_dir), certify=False)
    lmm.config.text_config.max_position_embeddings = 150
    lmm.prepare(random_image(60, 60), 'the dog')
    with pytest.raises(UserError, match='the prompt has'):
        lmm.prepare(random_image(60, 60), 'the dog ' * 20)
    lmm.config.text_config.max_position_embeddings = 100
    with pytest.raises(UserError, match='the picture takes 144 tokens'):
        lmm.prepare(random_image(60, 60), 'the dog')


def test_dealt_out_to_devices():
    pytest.importorskip('accelerate')
    lmm = AutoLMM('flmm_plugin::tiny_llava', certify=False, device_map={'': 'cpu'})
    assert torch.nn.ModuleList([lmm]).to('meta')[0].device.type == 'cpu'
    sample = lmm.prepare(random_image(112, 112), 'What is there?', [Segment(' circle', 0)])
    assert lmm([sample])[0].attention_maps.shape == (1, lmm.num_maps, 14, 14)


def test_certified_once(monkeypatch: pytest.MonkeyPatch):
    AutoLMM('flmm_plugin::tiny_llava')
    monkeypatch.setattr('flmm_plugin.models.layouts.kept.certify_layout', lambda lmm: pytest.fail('examined again'))
    AutoLMM('flmm_plugin::tiny_llava')
