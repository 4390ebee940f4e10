"""The tiny LMM's training sees what an ordinary forward pass of the model sees."""

import pytest
import torch

from flmm_plugin.tiny.conversations import (
    Conversations,
    ShareImage,
    answer_logits,
    bag_of_words,
    image_prefix,
    stack_images,
)
from flmm_plugin.tiny.lmm import SIDE, WordReader, build_model, build_processor, init_vision, normalize


@pytest.fixture(scope='module')
def processor():
    return build_processor()


@pytest.fixture(scope='module')
def model(processor):
    torch.manual_seed(0)
    return build_model(processor, width=32, vision_layers=2, text_layers=2).eval()


def test_sharing_the_image_changes_no_logit(processor, model):
    tokenizer = processor.tokenizer
    prefix, scenes = image_prefix(tokenizer), Conversations(tokenizer, seed=0)
    samples = [scenes.sample(5), scenes.sample(6)]
    batch = ShareImage(len(prefix), tokenizer.pad_token_id)(samples)
    with torch.no_grad():
        shared = answer_logits(model, prefix, batch)
        for row, sample in enumerate(samples):
            at = 0
            for question, answer in sample['blocks']:
                ids = torch.tensor([prefix.tolist() + question + answer])
                pixels = normalize(torch.from_numpy(sample['image'])[None])
                alone = model(input_ids=ids, pixel_values=pixels).logits[0, len(prefix) :]
                torch.testing.assert_close(shared[row, at : at + len(alone)], alone, atol=1e-5, rtol=1e-5)
                at += len(alone)


def test_labels_are_the_next_words_of_the_answers(processor):
    tokenizer = processor.tokenizer
    sample = Conversations(tokenizer, seed=0).sample(1)
    batch = ShareImage(10, tokenizer.pad_token_id)([sample])
    answers = [token for _, answer in sample['blocks'] for token in answer]
    assert batch['labels'][batch['labels'] >= 0].tolist() == answers


def test_training_text_is_the_chat_template_that_grounding_uses(processor):
    question, answer = 'Describe the image.', 'the sky is above the grass .'
    content = [{'type': 'image'}, {'type': 'text', 'text': question}]
    rendered = processor.apply_chat_template([{'role': 'user', 'content': content}], add_generation_prompt=True)
    tokenizer = processor.tokenizer
    ids = tokenizer(rendered, add_special_tokens=False)['input_ids']
    prefix = image_prefix(tokenizer).tolist()
    image = tokenizer.convert_tokens_to_ids('<image>')
    expanded = [token for token in ids for _ in range(SIDE * SIDE if token == image else 1)]
    assert expanded == prefix + Conversations(tokenizer, 0).ids(f'{question} ASSISTANT:')
    assert tokenizer.unk_token_id not in tokenizer(answer, add_special_tokens=False)['input_ids']


def test_vision_stage_reads_pictures_of_both_sizes(processor, model):
    tokenizer = processor.tokenizer
    small = [Conversations(tokenizer, 1, small=True, words_only=True).sample(i) for i in range(3)]
    full = [Conversations(tokenizer, 1, words_only=True).sample(i) for i in range(3)]
    init_vision(model.model.vision_tower, stack_images(full))
    reader = WordReader(model.model.vision_tower, len(tokenizer))
    for batch in (small, full):
        pixels, words = bag_of_words(batch, len(tokenizer))
        assert reader(pixels).shape == words.shape == (3, len(tokenizer))
        assert words.sum(1).tolist() == [len(set(sample['words'])) for sample in batch]
