"""Grounding what the LMM answers to ReasonSeg's questions, against transformers' own generate and a full pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from PIL import Image

from flmm_plugin.errors import UserError
from flmm_plugin.evaluation import ReasonSegMetric
from flmm_plugin.models import answering
from flmm_plugin.models.mask_heads.batching import crop
from flmm_plugin.registry import DATASETS, MODELS
from tests.tiny_checkpoint import CONFIG, draw_scene

QUESTIONS = {
    'beach_1': 'Where could one sit in the shade?Briefly answer the question in a single sentence.',
    'street_2': 'What is the lens in this image? Briefly answer the question in a single sentence.',
}
PIPELINE = [dict(type='LoadImageRGB'), dict(type='LoadGroundingMasks'), dict(type='PackGroundingInputs')]


@pytest.fixture(scope='module')
def model() -> Any:
    torch.manual_seed(0)
    built = MODELS.build({**Config.fromfile(CONFIG).model, 'type': 'AnsweringFLMM'}).eval()
    # It was taught no such questions and would end every answer at once.
    built.lmm.model.generation_config.suppress_tokens = [built.lmm.processor.tokenizer.eos_token_id]
    return built


def dataset(root: Path, protocol: str = 'answered', **kwargs: Any) -> Any:
    prefix = dict(img_path='ReasonSeg/val')
    about = dict(type='ReasonSegDataset', data_root=str(root), data_prefix=prefix, pipeline=PIPELINE, test_mode=True)
    return DATASETS.build({**about, 'protocol': f'reasoning/{protocol}', **kwargs})


def predict(model: Any, items: list[dict]) -> list[Any]:
    return model([item['inputs'] for item in items], [item['data_samples'] for item in items], mode='predict')


def by_hand(model: Any, root: Path, stem: str, tokens: int) -> tuple[str, torch.Tensor, np.ndarray]:
    """The answer's text, its attention map in a pass over the whole text, and its mask."""
    lmm = model.lmm
    content = [{'type': 'image'}, {'type': 'text', 'text': QUESTIONS[stem]}]
    asked = lmm.processor.apply_chat_template([{'role': 'user', 'content': content}], add_generation_prompt=True)
    picture = Image.open(root / f'ReasonSeg/val/{stem}.jpg').convert('RGB')
    image = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    inputs = lmm.processor(images=picture, text=asked + 'It is', return_tensors='pt')
    inputs['pixel_values'] = lmm.preprocess(image).vision['pixel_values']  # padded, not cut, as the authors have it
    length = inputs['input_ids'].shape[1]
    with torch.no_grad():
        # One token more than is grounded: it is the reading of a token that shows what it attends to.
        ids = lmm.model.generate(**inputs, do_sample=False, max_new_tokens=tokens + 1)[0, :-1]
        short = lmm.processor.tokenizer(asked + 'It is', return_tensors='pt')['input_ids'][0]
        phrases = torch.cat([torch.full_like(short, -1), torch.zeros(len(ids) - length, dtype=torch.long)])
        whole = lmm.prepare_tokens(image, torch.cat([short, ids[length:]]), phrases)
        assert whole.input_ids.tolist() == ids.tolist()
        outputs = lmm([whole])[0]
        mask = model.ground_batch([image], [whole], [outputs])[0].refined[0] > 0
    text = lmm.processor.tokenizer.decode(ids[length:], skip_special_tokens=True).strip()
    return text, crop(outputs.attention_maps.mean(1), whole.finest_grid.region), mask.numpy()


@pytest.mark.parametrize('tokens', [3, 16])
def test_answers_are_generated_and_grounded(model: Any, reasonseg_root: Path, tokens: int) -> None:
    model.max_tokens = tokens
    found = predict(model, list(dataset(reasonseg_root)))
    assert [sample.prompt for sample in found] == list(QUESTIONS.values())
    measured = {}
    for sample in found:
        text, maps, mask = by_hand(model, reasonseg_root, sample.img_id, tokens)
        assert sample.answer == text and sample.pred_instances.phrases == [text]
        torch.testing.assert_close(sample.attention_maps, maps, rtol=0, atol=1e-5)
        predicted = sample.pred_instances.masks[0].numpy()
        assert predicted.shape == mask.shape and (predicted != mask).mean() < 1e-3
        truth, counted = sample.gt_instances.masks[0].numpy(), ~sample.gt_instances.ignored[0].numpy()
        both, either = (truth & predicted & counted).sum(), ((truth | predicted) & counted).sum()
        measured[sample.img_id] = (both, either, truth.size)
    kinds = {'': measured.values(), '_long': [measured['beach_1']], '_short': [measured['street_2']]}
    expected = {}
    for kind, parts in kinds.items():
        name = f'reasonseg/reasoning/answered/{{}}{kind}'
        expected[name.format('gIoU')] = np.mean([both / either for both, either, _ in parts])
        expected[name.format('cIoU')] = sum(both for both, _, _ in parts) / sum(either for _, either, _ in parts)
        shares = [sum(part[which] / part[2] for part in parts) for which in (0, 1)]
        expected[name.format('cIoU_by_size')] = shares[0] / shares[1]
    assert Evaluator(ReasonSegMetric()).offline_evaluate(found) == pytest.approx(expected)


def test_the_end_of_an_answer_is_not_grounded(model: Any) -> None:
    """A token that ends the answer is generated and never read; where it is all there is, it is read nevertheless."""
    image = torch.from_numpy(draw_scene(0)).permute(2, 0, 1).contiguous()
    asked = model.lmm.prepare(image, 'Please give me a description of the image.')
    longer, start = answering.answer_and_look(model.lmm, asked, max_tokens=5), len(asked.input_ids)
    own = longer.inputs.input_ids[start:].tolist()
    last = next(token for token in reversed(own) if token != own[0])
    ended = answering.answer_and_look(model.lmm, asked, max_tokens=5, eos_token_id=last)
    assert ended.inputs.input_ids[start:].tolist() == own[: own.index(last)]
    at_once = answering.answer_and_look(model.lmm, asked, eos_token_id=own[0])
    assert at_once.inputs.input_ids[start:].tolist() == own[:1] and at_once.outputs.num_phrases == 1


def test_both_protocols_in_one_run(model: Any, reasonseg_root: Path) -> None:
    """Samples of both kinds in a batch; those whose instruction is grounded are as an FLMM alone predicts them."""
    model.max_tokens = 2
    items = [dataset(reasonseg_root)[1], dataset(reasonseg_root, 'first_sentence')[1]]
    answered, grounded = predict(model, items)
    assert (answered.sample_id, grounded.sample_id) == ('street_2/answered', 'street_2/0')
    assert 'answer' in answered and 'answer' not in grounded and grounded.pred_instances.phrases == ['the lens']
    alone = dataset(reasonseg_root, 'first_sentence')[1]
    super(type(model), model).predict([alone['inputs']], [alone['data_samples']])
    assert torch.equal(alone['data_samples'].pred_instances.masks, grounded.pred_instances.masks)
    names = Evaluator(ReasonSegMetric()).offline_evaluate([answered, grounded])
    assert {name.split('/')[2] for name in names} == {'answered', 'first_sentence'}


def test_a_model_that_does_not_answer_says_so(reasonseg_root: Path) -> None:
    torch.manual_seed(0)
    plain = MODELS.build(Config.fromfile(CONFIG).model)
    with pytest.raises(UserError, match='AnsweringFLMM'):
        predict(plain, [dataset(reasonseg_root)[0]])


def test_only_the_first_wording_is_asked(reasonseg_root: Path) -> None:
    record = json.loads((reasonseg_root / 'ReasonSeg/val/beach_1.json').read_text())
    assert len(record['text']) == 2 and len(dataset(reasonseg_root)) == 2
    assert dataset(reasonseg_root, queries='long')[0]['data_samples'].prompt.startswith(record['text'][0])
