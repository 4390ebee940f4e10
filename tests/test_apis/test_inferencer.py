"""One call from an image and a question, or phrases, to what is where."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from PIL import Image
from pycocotools import mask as coco

from flmm_plugin.apis import FLMMInferencer
from flmm_plugin.apis.loading import lmm_options
from flmm_plugin.errors import UserError
from tests.tiny_checkpoint import CONFIG, draw_scene, save_checkpoint


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp('flmm'))


@pytest.fixture(scope='module')
def ask(checkpoint: Path) -> FLMMInferencer:
    return FLMMInferencer(CONFIG, checkpoint, device='cpu', extractor=dict(type='RulePhrases'), min_score=-10.0)


@pytest.fixture(scope='module')
def scene() -> np.ndarray:
    return draw_scene(1)


def same(first, second) -> bool:
    """Whether two results have the same answer, phrases and masks."""
    return first.answer == second.answer and all(
        a.text == b.text and (a.mask == b.mask).all() for a, b in zip(first.phrases, second.phrases, strict=True)
    )


def test_answer_phrases_and_masks_fit_together(ask, scene, tmp_path):
    result = ask(scene, 'Describe the image.')
    assert len(result.phrases) >= 3
    for phrase in result.phrases:
        assert all(result.answer[slice(*span)].casefold() == phrase.text.casefold() for span in phrase.spans)
        assert result.answer[phrase.start : phrase.end] == phrase.text
        assert phrase.mask.shape == (192, 192) and phrase.mask.dtype == bool
        x0, y0, x1, y1 = phrase.box
        inside = phrase.mask[y0:y1, x0:x1]
        assert inside.sum() == phrase.mask.sum() and inside.any(axis=0)[[0, -1]].all()
        assert 0 < phrase.attention < 1
    Image.fromarray(scene).save(tmp_path / 'scene.png')
    for other in (tmp_path / 'scene.png', str(tmp_path / 'scene.png'), Image.fromarray(scene)):
        assert same(ask(other, 'Describe the image.'), result)


def test_plain_dict_is_json_with_the_masks(ask, scene):
    result = ask(scene, 'Describe the image.')
    plain = json.loads(json.dumps(result.to_dict()))
    assert plain['answer'] == result.answer and plain['image'] == dict(height=192, width=192)
    for written, phrase in zip(plain['phrases'], result.phrases, strict=True):
        assert (coco.decode(written['mask']).astype(bool) == phrase.mask).all()
        assert written['text'] == phrase.text and tuple(written['box']) == phrase.box
        assert [tuple(span) for span in written['spans']] == list(phrase.spans)


def test_data_sample_is_mmdets(ask, scene):
    result = ask(scene, 'Describe the image.')
    sample = result.data_sample
    assert isinstance(sample, DetDataSample)
    found = sample.pred_instances
    assert found.phrases == [phrase.text for phrase in result.phrases]
    assert found.masks.shape == found.coarse_masks.shape == (len(result.phrases), 192, 192)
    assert found.bboxes.shape == (len(result.phrases), 4) and len(sample.attention_maps) == len(result.phrases)


def test_what_is_not_grounded_is_said_and_has_no_mask(checkpoint, scene):
    strict = FLMMInferencer(CONFIG, checkpoint, device='cpu', min_score=10.0)
    result = strict(scene, 'Describe the image.')
    assert result.phrases and not result.grounded
    assert all(p['grounded'] is False and p['mask'] is None for p in result.to_dict()['phrases'])
    assert len(result.data_sample.pred_instances) == 0


def test_caption_asks_what_the_narratives_answer(ask, scene):
    assert same(ask(scene), ask(scene, 'Describe the image.'))
    assert same(ask(scene, mode='caption'), ask(scene))


def test_given_phrases_do_not_depend_on_each_other(ask, scene):
    together = ask(scene, phrases=['the sky', ' the red star ', 'grass'])
    assert [p.text for p in together.phrases] == ['the sky', 'the red star', 'grass']
    assert together.answer == '' and all(p.spans == () for p in together.phrases)
    alone = ask(scene, phrases='the red star')
    assert (alone.phrases[0].mask == together.phrases[1].mask).mean() > 0.999
    assert alone.phrases[0].score == pytest.approx(together.phrases[1].score, abs=1e-4)
    json.dumps(together.to_dict())


def test_a_batch_is_its_images_one_by_one(ask, scene):
    other = draw_scene(2)
    both = ask([scene, other], 'Describe the image.')
    assert same(both[0], ask(scene, 'Describe the image.')) and same(both[1], ask(other, 'Describe the image.'))
    answers = ask([scene, other], ['Describe the image.', 'How many things are there?'])
    assert same(answers[0], both[0]) and not answers[1].phrases
    found = ask([scene, other], phrases=[['the sky'], ['a moon', 'a star']])
    assert [len(result.phrases) for result in found] == [1, 2]
    assert [len(result.phrases) for result in ask([scene, other], phrases=['the sky'])] == [1, 1]


def test_an_answer_without_phrases_grounds_nothing(ask, scene):
    result = ask(scene, 'How many things are there?')
    assert result.phrases == () and result.answer
    assert len(result.data_sample.pred_instances) == 0


def test_a_conversation_goes_on(ask, scene):
    conversation = ask.converse(scene)
    first = conversation.ask('Describe the image.')
    assert same(first, ask(scene, 'Describe the image.'))
    assert conversation.ask('What is at the top?').answer
    assert len(conversation.turns) == 2


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(question=' '), 'question is empty'),
        (dict(mode='chat'), 'question is empty'),
        (dict(phrases=[]), 'needs phrases'),
        (dict(phrases=['a', ' ']), 'none of them empty'),
        (dict(mode='sing'), "got 'sing'"),
    ],
)
def test_bad_input_is_named(ask, scene, arguments, message):
    with pytest.raises(UserError, match=message):
        ask(scene, **arguments)


def test_a_question_for_each_image(ask, scene):
    with pytest.raises(UserError, match='2 images but 3 questions'):
        ask([scene, scene], ['a', 'b', 'c'])


def test_missing_checkpoint_is_named():
    with pytest.raises(UserError, match=r'nowhere\.pth'):
        FLMMInferencer(CONFIG, 'nowhere.pth')


def test_a_checkpoint_of_another_lmm_is_refused(checkpoint, tmp_path):
    saved = torch.load(checkpoint, weights_only=True)
    saved['meta'] = dict(lmm_fingerprint='of another')
    torch.save(saved, tmp_path / 'other.pth')
    with pytest.raises(UserError, match='trained on an LMM with other weights'):
        FLMMInferencer(CONFIG, tmp_path / 'other.pth', device='cpu')


def test_dtype_follows_device_and_config():
    assert lmm_options('cpu', None, False, False, {}) == {}
    assert lmm_options('cuda:1', None, False, False, {}) == dict(dtype='bfloat16')
    assert lmm_options('cuda', None, False, False, dict(dtype='float16')) == {}
    assert lmm_options('cpu', 'bfloat16', False, False, {}) == dict(dtype='bfloat16')


def test_bfloat16_answers_and_grounds(checkpoint, scene):
    ask = FLMMInferencer(CONFIG, checkpoint, device='cpu', dtype='bfloat16', min_score=-10.0)
    assert next(ask.model.lmm.model.parameters()).dtype == torch.bfloat16
    result = ask(scene, 'Describe the image.')
    assert result.phrases and all(np.isfinite(phrase.score) for phrase in result.phrases)


def test_quantisation_needs_bitsandbytes(checkpoint, monkeypatch):
    with pytest.raises(UserError, match='exclude each other'):
        FLMMInferencer(CONFIG, checkpoint, load_in_4bit=True, load_in_8bit=True)
    monkeypatch.setattr('flmm_plugin.apis.loading.find_spec', lambda name: None)
    with pytest.raises(UserError, match='need bitsandbytes'):
        FLMMInferencer(CONFIG, checkpoint, load_in_8bit=True)
