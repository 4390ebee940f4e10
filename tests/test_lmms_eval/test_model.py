"""The plugin of lmms-eval, where that is installed: its answers are those of transformers' generate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from flmm_plugin.errors import UserError
from tests.tiny_checkpoint import CONFIG, draw_scene, save_checkpoint

pytest.importorskip('lmms_eval')
QUESTIONS = ['Describe the image.', 'How many things are there?', 'Is there a red star?']
GREEDY = dict(max_new_tokens=24, temperature=0, do_sample=False, until=['\n\n'])


@pytest.fixture(scope='module')
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from lmms_eval.models import get_model
    from mmengine.registry import init_default_scope

    init_default_scope('flmm_plugin')
    checkpoint = save_checkpoint(tmp_path_factory.mktemp('checkpoint'))
    made = get_model('flmm')(config=str(CONFIG), checkpoint=str(checkpoint), device='cpu', batch_size=1)
    docs = [dict(image=Image.fromarray(draw_scene(index)), question=QUESTIONS[index]) for index in range(3)]
    made.task_dict = dict(local=dict(test=docs))
    return made


def request(doc_id: int, **options: Any) -> Any:
    from lmms_eval.api.instance import Instance

    arguments = (QUESTIONS[doc_id], {**GREEDY, **options}, lambda doc: [doc['image']], doc_id, 'local', 'test')
    about = dict(task='local', doc_id=doc_id, repeats=1)
    return Instance(request_type='generate_until', arguments=arguments, idx=0, metadata=about)


def test_answers_are_those_of_generate(model: Any) -> None:
    answers = model.generate_until([request(index) for index in range(3)])
    lmm = model.lmm
    for doc, answer in zip(model.task_dict['local']['test'], answers, strict=True):
        content = [{'type': 'image'}, {'type': 'text', 'text': doc['question']}]
        text = lmm.processor.apply_chat_template([{'role': 'user', 'content': content}], add_generation_prompt=True)
        inputs = lmm.processor(images=doc['image'], text=text, return_tensors='pt')
        with torch.no_grad():
            ids = lmm.model.generate(**inputs, do_sample=False, max_new_tokens=24)[0, inputs['input_ids'].shape[1] :]
        assert answer == lmm.processor.tokenizer.decode(ids, skip_special_tokens=True).strip() != ''


def test_an_answer_ends_where_the_task_says(model: Any) -> None:
    (whole,), (cut,) = (model.generate_until([request(0, **until)]) for until in ({}, dict(until='is')))
    assert cut == whole.split('is')[0] != whole


def test_what_it_does_not_do(model: Any) -> None:
    with pytest.raises(UserError, match='likelihoods are not supported'):
        model.loglikelihood([])
    model.task_dict['text'] = dict(test=[dict(question='?')])
    arguments = ('?', dict(GREEDY), lambda doc: [], 0, 'text', 'test')
    with pytest.raises(UserError, match='text: question 0 shows 0 things'):
        model._answer(*arguments)


def test_unknown_arguments(tmp_path: Path) -> None:
    from flmm_plugin.lmms_eval.model import FLMMModel

    with pytest.raises(UserError, match='pretrained not known; there are config, checkpoint'):
        FLMMModel(config=str(CONFIG), checkpoint='none.pth', pretrained='llava')


def test_no_checkpoint_where_nothing_is_trained() -> None:
    from flmm_plugin.lmms_eval.model import FLMMModel

    assert FLMMModel(config=str(CONFIG.with_name('attention_tiny_scenes.py')), device='cpu').lmm is not None
    with pytest.raises(UserError, match='checkpoint'):
        FLMMModel(config=str(CONFIG), device='cpu')
