"""The tiny LMMs' training sees what an ordinary forward pass of the model sees."""

from inspect import signature

import numpy as np
import pytest
import torch

from flmm_plugin.tiny.conversations import ABOVE, DECIDING, Conversations, Frame, answer_logits
from flmm_plugin.tiny.families import FAMILIES
from flmm_plugin.tiny.family import TinyFamily
from flmm_plugin.tiny.word_reader import WordReader


@pytest.fixture(scope='module', params=FAMILIES)
def family(request) -> TinyFamily:
    return FAMILIES[request.param]


@pytest.fixture(scope='module')
def processor(family):
    return family.build_processor()


@pytest.fixture(scope='module')
def model(family, processor):
    torch.manual_seed(0)
    return family.build_model(processor, width=32, layers=2).eval()


def scenes(family, processor, **options) -> Conversations:
    return Conversations(family, processor, 1, batch=2, **options)


def test_sharing_the_image_changes_no_logit(family, processor, model):
    data = scenes(family, processor)
    for first in (4, 6):
        samples = [data.sample(first), data.sample(first + 1)]
        batch = data.share_image(samples)
        prefix = batch['prefix']
        with torch.no_grad():
            shared = answer_logits(family, model, batch)
            for row, sample in enumerate(samples):
                at, pixels = 0, family.pixels(processor, [sample['picture']])
                for question, answer in sample['blocks'][:4]:
                    ids = torch.tensor([prefix.tolist() + question + answer])
                    given = dict(input_ids=ids, attention_mask=torch.ones_like(ids), **pixels)
                    if 'mm_token_type_ids' in signature(model.forward).parameters:  # transformers 5
                        given['mm_token_type_ids'] = (ids == data.frame.image_token).int()
                    alone = model(**given).logits[0, len(prefix) :]
                    torch.testing.assert_close(shared[row, at : at + len(alone)], alone, atol=1e-5, rtol=1e-5)
                    at += len(alone)


def test_labels_are_the_next_words_of_the_answers(family, processor):
    data = scenes(family, processor)
    sample = data.sample(1)
    batch = data.share_image([sample])
    answers = [token for _, answer in sample['blocks'] for token in answer]
    assert batch['labels'][batch['labels'] >= 0].tolist() == answers


def test_yes_and_no_and_what_is_above_weigh_more_than_other_words(family, processor):
    samples = [scenes(family, processor).sample(index) for index in range(8)]
    batch = scenes(family, processor).share_image(samples)
    deciding = torch.tensor([processor.tokenizer.convert_tokens_to_ids(word) for word in ('yes', 'no')])
    said = batch['labels'] >= 0
    above = torch.zeros_like(said)
    for row, sample in enumerate(samples):
        for number, kind in enumerate(sample['kinds']):
            above[row] |= (batch['block'][row] == number) & (kind == 'above')
    yes_no = torch.isin(batch['labels'], deciding)
    assert yes_no.any() and (batch['weights'][yes_no] == DECIDING).all()
    assert (above & said).any() and (batch['weights'][above & said] == ABOVE).all()
    assert (batch['weights'][said & ~above & ~yes_no] == 1).all()


def test_training_text_is_what_the_processor_makes_of_a_question(family, processor):
    question, picture = 'Describe the image.', scenes(family, processor).sample(0)['picture']
    content = [{'type': 'image'}, {'type': 'text', 'text': question}]
    rendered = processor.apply_chat_template([{'role': 'user', 'content': content}], add_generation_prompt=True)
    small = np.array(picture[:112, :112]) if family is FAMILIES['llava'] else picture  # LLaVA's has a fixed size
    made = processor(images=[small], text=[rendered], return_tensors='pt', add_special_tokens=False)
    frame = Frame.of(processor)
    count = family.num_tokens(made)
    asked = processor.tokenizer(question + frame.tail, add_special_tokens=False)['input_ids']
    assert made['input_ids'][0].tolist() == frame.prefix(count).tolist() + asked
    assert processor.tokenizer.unk_token_id not in asked


def test_scenes_of_a_batch_have_one_size_and_batches_have_several(family, processor):
    data = scenes(family, processor)
    sizes = [data.sample(index)['picture'].shape[:2] for index in range(40)]
    assert sizes[::2] == sizes[1::2]
    assert set(sizes) == set(family.canvases)


def test_vision_stage_reads_pictures_of_both_sizes(family, processor, model):
    for options in ({'small': True}, {}):
        data = scenes(family, processor, words_only=True, **options)
        samples = [data.sample(index) for index in range(2)]
        pixels, words = data.bag_of_words(samples)
        family.init_tower(family.tower(model), pixels)
        reader = WordReader(family, model, len(processor.tokenizer))
        assert reader(pixels).shape == words.shape == (2, len(processor.tokenizer))
        assert words.sum(1).tolist() == [len(set(sample['words'])) for sample in samples]
