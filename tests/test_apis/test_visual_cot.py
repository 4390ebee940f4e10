"""Visual chain of thought: the format, the scores, and the steps on random LMMs that take two images."""

from __future__ import annotations

import inspect
import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.config import Config
from PIL import Image

from flmm_plugin.apis.grounding import Grounder
from flmm_plugin.apis.phrases import RulePhrases
from flmm_plugin.apis.visual_cot import PROTOCOLS, think
from flmm_plugin.apis.visual_cot.benchmark import REQUEST, read_viscot
from flmm_plugin.apis.visual_cot.crops import CROPS, authors_box, scale_box, square_box
from flmm_plugin.apis.visual_cot.looks import question_tokens
from flmm_plugin.apis.visual_cot.two_images import image_text, prepare_two
from flmm_plugin.errors import DataError, UserError
from flmm_plugin.models.lmms import AutoLMM
from flmm_plugin.models.lmms.processing import process, to_picture
from flmm_plugin.registry import MODELS
from tests.auto_families import FAMILIES as AUTO_FAMILIES
from tests.auto_families import FURTHER
from tests.tiny_checkpoint import CONFIG, draw_scene, save_checkpoint
from tests.tiny_flmm import random_image, tiny_flmm
from tests.tiny_lmms import FAMILIES

RECORD = {
    'question_id': 7,
    'image': ['scene.png', 'scene.png###[10, 20, 60, 80]'],
    'conversations': [
        {'from': 'human', 'value': f'<image>\nWhat is at the top? {REQUEST}'},
        {'from': 'gpt', 'value': '[0.1, 0.1, 0.3, 0.4]'},
        {'from': 'human', 'value': '<image>'},
        {'from': 'gpt', 'value': 'The forest.'},
    ],
}


def test_the_format(tmp_path: Path) -> None:
    for name, content in (('list.json', json.dumps([RECORD])), ('lines.jsonl', json.dumps(RECORD) + '\n')):
        (tmp_path / name).write_text(content)
        (question,) = read_viscot(tmp_path / name)
        assert (question.id, question.image, question.text) == (7, 'scene.png', 'What is at the top?')
        assert (question.box, question.answer) == ((10, 20, 60, 80), 'The forest.')


@pytest.mark.parametrize('change', [dict(image=['scene.png']), dict(image=['a', 'a###[1, 2]']), dict(conversations=[])])
def test_other_formats_are_named(tmp_path: Path, change: dict) -> None:
    (tmp_path / 'bad.json').write_text(json.dumps([RECORD, {**RECORD, **change}]))
    with pytest.raises(DataError, match=r'bad\.json: record 1 is not of the VisCoT format'):
        read_viscot(tmp_path / 'bad.json')


def test_swapped_corners_are_put_in_order(tmp_path: Path) -> None:
    """As 7 of the 888 boxes of the official docvqa file are: they could never be matched."""
    record = dict(image=['a.jpg', 'a.jpg###[90, 80, 10, 20]'], conversations=[dict(value='What?'), dict(value='This.')])
    (tmp_path / 'swapped.json').write_bytes(json.dumps([record]).encode('utf-8-sig'))
    (question,) = read_viscot(tmp_path / 'swapped.json')
    assert question.box == (10, 20, 90, 80) and question.swapped


def test_boxes_stay_in_the_image() -> None:
    assert scale_box((10, 10, 20, 30), 1.0, (50, 40)) == (10, 10, 20, 30)
    assert scale_box((10, 10, 20, 30), 2.0, (50, 40)) == (5, 0, 25, 40)
    for box in ((0, 0, 1, 1), (39, 49, 40, 50)):
        x0, y0, x1, y1 = scale_box(box, 0.1, (50, 40))
        assert 0 <= x0 < x1 - 1 <= 39 and 0 <= y0 < y1 - 1 <= 49


def test_crops_by_hand() -> None:
    """As F-LMM's ``mask2box`` and Visual CoT's ``cropwithbbox`` come to, worked out by hand."""
    assert list(CROPS.values()) == [scale_box, authors_box, square_box]
    size = (200, 100)
    assert authors_box((10, 30, 20, 70), 1.0, size) == (6, 30, 22, 69)  # x 14.5 +- 8 and y 49.5 +- 19.5
    assert authors_box((10, 30, 20, 70), 2.0, size) == (0, 10, 30, 88)  # x 14.5 +- 16 and y 49.5 +- 39
    assert authors_box((0, 0, 4, 4), 1.0, size) == (0, 0, 9, 9)
    assert authors_box((96, 196, 100, 200), 1.0, size) == (89, 189, 100, 200)
    size = (500, 600)
    assert square_box((100, 100, 400, 200), 1.0, size) == (100, 0, 400, 300)  # moved down into the image
    assert square_box((10, 20, 60, 80), 1.0, size) == (0, 0, 224, 224)
    assert square_box((560, 300, 600, 340), 1.0, size) == (376, 208, 600, 432)
    assert square_box((10, 10, 20, 20), 1.0, (80, 100)) == (0, 0, 100, 80)


@pytest.mark.parametrize('family', FAMILIES)
def test_the_answer_depends_on_both_images(family: str, tmp_path: Path) -> None:
    save, adapter = FAMILIES[family]
    torch.manual_seed(0)
    model = MODELS.build(tiny_flmm(save(tmp_path), adapter)).eval()
    lmm = model.lmm
    lmm.model.generation_config.suppress_tokens = lmm.processor.tokenizer.all_special_ids
    image, other = random_image(40, 60), random_image(30, 30, seed=1)

    def logits(first, second):
        with torch.inference_mode():
            return lmm.model(**lmm.collate([prepare_two(lmm, first, second, 'what is this ?')])).logits[0, -1]

    both = logits(image, other)
    assert not torch.allclose(both, logits(image, random_image(30, 30, seed=2)), atol=1e-7)
    assert not torch.allclose(both, logits(random_image(40, 60, seed=3), other), atol=1e-7)
    inferencer = SimpleNamespace(model=model, grounder=Grounder(model, RulePhrases(), min_score=-10.0))
    for protocol in PROTOCOLS:
        thought = think(inferencer, image, 'what is this ?', protocol=protocol, thought_tokens=6, answer_tokens=6)
        x0, y0, x1, y1 = thought.box
        assert 0 <= x0 < x1 <= 60 and 0 <= y0 < y1 <= 40
        assert bool(thought.text) == (protocol != 'authors/v3') and len(thought.answer.split()) == 6
    ids, phrases = question_tokens(lmm, 'what is this ?')
    own = lmm.processor.tokenizer('what is this ?', add_special_tokens=False)['input_ids']
    assert ids[phrases == 0].tolist() == own


SLOW = ('qwen2_5_vl', 'mistral3', 'llava_next', 'kimi_k25', 'molmo2', 'minicpmv4_6')


@pytest.mark.parametrize('family', ['gemma3', *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_two_images_are_what_the_processor_makes_of_them(family: str, tmp_path: Path) -> None:
    """Also where patches are counted over all images of a prompt, or images have values for each token."""
    if family not in AUTO_FAMILIES | FURTHER:
        pytest.skip('not in this transformers')
    lmm = AutoLMM(str((AUTO_FAMILIES | FURTHER)[family](tmp_path)), certify=False, dtype='float32')
    images = [random_image(168, 280), random_image(130, 150, seed=1)]
    content = [dict(type='image'), dict(type='image'), dict(type='text', text='what is this ?')]
    rendered = lmm.processor.apply_chat_template([dict(role='user', content=content)], add_generation_prompt=True)
    own = process(lmm.processor, rendered, *map(to_picture, images))
    sample = prepare_two(lmm, *images, f'{image_text(lmm)} what is this ?')
    assert sample.input_ids.tolist() == own['input_ids'][0].tolist()
    accepted = inspect.signature(lmm.model.forward).parameters
    with torch.inference_mode():
        expected = lmm.model(**{name: value for name, value in own.items() if name in accepted}).logits
        found = lmm.model(**lmm.collate([sample])).logits
    assert expected.std() > 1e-3
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.fixture(scope='module')
def inferencer() -> Any:
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(CONFIG).model).eval()
    model.lmm.model.generation_config.suppress_tokens = [model.lmm.processor.tokenizer.eos_token_id]
    return SimpleNamespace(model=model, grounder=Grounder(model, RulePhrases()))


def box_by_hand(model: Any, image: torch.Tensor, ids: torch.Tensor, phrases: torch.Tensor) -> tuple[int, ...]:
    """The authors' box around the mask of phrase 0, from one pass over the whole text."""
    with torch.no_grad():
        sample = model.lmm.prepare_tokens(image, ids, phrases)
        rows, columns = (model.ground_batch([image], [sample], model.lmm([sample]))[0].refined[0] > 0).nonzero().T
    box = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
    return authors_box(box, 1.0, tuple(image.shape[1:]))


def test_the_authors_ways_by_hand(inferencer: Any) -> None:
    """Against transformers' generate on the authors' words, and a mask from one pass over the whole text."""
    model, lmm, tokenizer = inferencer.model, inferencer.model.lmm, inferencer.model.lmm.processor.tokenizer
    image, question = torch.from_numpy(draw_scene(3)).permute(2, 0, 1).contiguous(), 'What is at the top?'

    def rendered(text: str) -> str:
        content = [{'type': 'image'}, {'type': 'text', 'text': text}]
        return lmm.processor.apply_chat_template([{'role': 'user', 'content': content}], add_generation_prompt=True)

    def generate(text: str, tokens: int, *pictures: torch.Tensor) -> torch.Tensor:
        inputs = lmm.processor(images=[to_picture(p) for p in pictures], text=text, return_tensors='pt')
        # Padded, not cut, as the authors have it.
        inputs['pixel_values'] = torch.cat([lmm.preprocess(p).vision['pixel_values'] for p in pictures])
        with torch.no_grad():
            ids = lmm.model.generate(**inputs, do_sample=False, max_new_tokens=tokens)[0]
        return ids[inputs['input_ids'].shape[1] :]

    words = f'{question}First think which object in this image is most relevant to the question.'
    begun = rendered(words) + ' The object most relevant to the question is'
    said = generate(begun, 16, image)
    dots = [at for at, token in enumerate(said.tolist()) if '.' in tokenizer.decode([token])]
    said = said[: dots[0] if dots else 15]  # the token that ends the thought is not read
    asked = tokenizer(begun, return_tensors='pt')['input_ids'][0]
    phrases = torch.cat([torch.full_like(asked, -1), torch.zeros_like(said)])
    boxes = {'authors/v1': box_by_hand(model, image, torch.cat([asked, said]), phrases)}
    asked = tokenizer(rendered(question), return_tensors='pt')['input_ids'][0]
    own = tokenizer(question, add_special_tokens=False)['input_ids']
    at = next(at for at in range(len(asked)) if asked[at : at + len(own)].tolist() == own)
    phrases = torch.full_like(asked, -1)
    phrases[at : at + len(own)] = 0
    boxes['authors/v2'] = box_by_hand(model, image, asked, phrases)
    texts = {'authors/v1': tokenizer.decode(said).strip(), 'authors/v2': question}
    short = '\nAnswer the question using a single word or phrase.'
    for protocol, (x0, y0, x1, y1) in boxes.items():
        look = f'the whole image, <image>the image region that might help you answer the question: {question}{short}'
        answer = generate(rendered(look), 32, image, image[:, y0:y1, x0:x1])
        found = think(inferencer, image, question, protocol=protocol)
        assert (found.text, found.box, found.grounded) == (texts[protocol], (x0, y0, x1, y1), True)
        assert found.answer == tokenizer.decode(answer, skip_special_tokens=True).strip()
    plain = think(inferencer, image, question, protocol='authors/v3')
    assert plain.answer == lmm.generate(image, question + short, 32)[1]
    assert (plain.box, plain.grounded) == ((0, 0, 192, 192), False)
    assert think(inferencer, image, question, protocol='authors/v2', crop='square').box == (0, 0, 192, 192)


def test_unknown_ways_and_image_tokens_are_refused(inferencer: Any) -> None:
    image = torch.zeros(3, 40, 40, dtype=torch.uint8)
    for wrong in (dict(protocol='v1'), dict(crop='round')):
        with pytest.raises(UserError, match='expected one of'):
            think(inferencer, image, 'what?', **wrong)
    with pytest.raises(UserError, match='image token'):
        think(inferencer, image, 'what is <image>?', protocol='authors/v3')


def test_the_tool_writes_answers_boxes_and_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    Image.fromarray(draw_scene(1)).save(tmp_path / 'scene.png')
    (tmp_path / 'bench.json').write_text(json.dumps([RECORD]))
    tool = Path(__file__).resolve().parents[2] / 'tools/visual_cot.py'
    words = [
        'bench.json',
        '--protocol',
        'authors/v2',
        '--image-root',
        '.',
        '--out',
        'out/results.json',
        '--config',
        str(CONFIG),
        '--device',
        'cpu',
    ]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', [str(tool), *words, '--checkpoint', str(save_checkpoint(tmp_path))])
    runpy.run_path(str(tool), run_name='__main__')
    written = json.loads((tmp_path / 'out/results.json').read_text())
    assert (written['protocol'], written['crop']) == ('authors/v2', 'authors')
    assert written['summary']['questions'] == 1 and 'anls' in capsys.readouterr().out
    (row,) = written['results']
    assert row['question_id'] == 7 and len(row['box']) == 4 and row['gt'] == 'The forest.'
