"""Visual chain of thought: the format, the scores, and the steps on random LMMs that take two images."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from flmm_plugin.apis.grounding import Grounder
from flmm_plugin.apis.phrases import RulePhrases
from flmm_plugin.apis.viscot import REQUEST, read_viscot
from flmm_plugin.apis.visual_cot import prepare_two, scale_box, think
from flmm_plugin.errors import DataError
from flmm_plugin.registry import MODELS
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
    thought = think(inferencer, image, 'what is this ?', thought_tokens=6, answer_tokens=6)
    x0, y0, x1, y1 = thought.box
    assert 0 <= x0 < x1 <= 60 and 0 <= y0 < y1 <= 40
    assert thought.text and len(thought.answer.split()) == 6


def test_the_tool_writes_answers_boxes_and_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    Image.fromarray(draw_scene(1)).save(tmp_path / 'scene.png')
    (tmp_path / 'bench.json').write_text(json.dumps([RECORD]))
    tool = Path(__file__).resolve().parents[2] / 'tools/visual_cot.py'
    words = ['bench.json', '--image-root', '.', '--out', 'out/results.json', '--config', str(CONFIG), '--device', 'cpu']
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', [str(tool), *words, '--checkpoint', str(save_checkpoint(tmp_path))])
    runpy.run_path(str(tool), run_name='__main__')
    written = json.loads((tmp_path / 'out/results.json').read_text())
    assert written['summary']['questions'] == 1 and 'anls' in capsys.readouterr().out
    (row,) = written['results']
    assert row['question_id'] == 7 and len(row['box']) == 4 and row['gt'] == 'The forest.'
