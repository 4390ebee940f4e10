"""The things that a plural phrase names."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from pycocotools import mask as coco

from flmm_plugin.apis import FLMMInferencer, read_image
from flmm_plugin.apis.phrases.base import number_of
from flmm_plugin.apis.pictures import describe, draw_answer
from flmm_plugin.datasets.scenes import Scene, Thing, render
from flmm_plugin.datasets.scenes.render import FIRST_THING
from flmm_plugin.models.instances import merge, split
from tests.tiny_checkpoint import draw_scene

PLACES = ((40, 40), (150, 95), (50, 150))


@pytest.fixture(scope='module')
def stars() -> tuple[np.ndarray, np.ndarray]:
    """A picture (192, 192, 3) of three separate red stars, and their masks (3, 192, 192)."""
    things = tuple(Thing('star', 'red', 'large', x, y, 24.0, 10.0) for x, y in PLACES)
    image, owners = render(Scene(192, 192, 'sky', 'grass', 100.0, 0.0, 0.0, things, (0, 1, 2), 0))
    return image, owners == np.arange(FIRST_THING, FIRST_THING + 3)[:, None, None]


@pytest.fixture(scope='module')
def ask() -> FLMMInferencer:
    return FLMMInferencer(
        lmm='flmm_plugin::tiny_llava',
        sam='flmm_plugin::tiny_sam.safetensors',
        device='cpu',
        instances=True,
        caption_prompt='Describe the image.',
    )


def test_three_stars_are_three(ask: FLMMInferencer, stars: tuple[np.ndarray, np.ndarray]) -> None:
    image, truth = stars
    answer = ask(image, phrases=['three large red stars', 'the sky'])
    phrase = answer.phrases[0]
    assert phrase.instances is not None and len(phrase.instances) == 3
    found = np.stack([one.mask for one in phrase.instances])[:, None]
    overlap = (found & truth).sum((2, 3)) / (found | truth).sum((2, 3))
    assert sorted(overlap.argmax(axis=1)) == [0, 1, 2] and overlap.max(axis=1).min() > 0.5
    for one in phrase.instances:
        rows, columns = np.nonzero(one.mask)
        assert one.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    plain = json.loads(json.dumps(answer.to_dict()))['phrases'][0]['instances']
    assert [coco.decode(one['mask']).sum() for one in plain] == [one.mask.sum() for one in phrase.instances]
    assert describe(phrase, 0, color=False).endswith(', 3 things')
    assert draw_answer(read_image(image), answer).shape == (576, 576, 3)


def test_nobody_asked(stars: tuple[np.ndarray, np.ndarray]) -> None:
    ask = FLMMInferencer.from_pretrained('flmm_plugin::tiny_flmm', 'cpu')
    answer = ask(stars[0], phrases=['three large red stars'])
    assert answer.phrases[0].instances is None and 'instances' not in answer.to_dict()['phrases'][0]


def test_a_trained_model_with_text_prompts_tells_them_apart_in_a_conversation() -> None:
    ask = FLMMInferencer.from_pretrained('flmm_plugin::tiny_flmm', 'cpu', instances=True)
    answer = ask(draw_scene(1), 'Describe the image.')
    assert answer.grounded and all(phrase.instances for phrase in answer.grounded)
    for phrase in answer.grounded:
        if len(phrase.instances) == 1:  # then the thing is what the phrase is
            assert (phrase.instances[0].mask & phrase.mask).sum() > 0.8 * phrase.mask.sum()


def test_parts_of_a_coarse_mask() -> None:
    logits = torch.full((12, 20), -2.0)
    logits[1:5, 1:5], logits[6:10, 10:16], logits[0, 19] = 3, 1, 4
    first, second = split(logits)  # the single cell is too small to be a thing
    assert (first > 0).nonzero().tolist() == (logits == 3).nonzero().tolist()
    assert (second > 0).nonzero().tolist() == (logits == 1).nonzero().tolist()
    assert first[7, 12] == -1 and second[2, 2] == -3 and first[0, 19] == -4 and first[11, 0] == -2
    assert torch.equal(split(logits - 9)[0], logits - 9)


def test_as_many_hills_as_the_phrase_says() -> None:
    """Two tops on one ridge, a third that lies below zero, and a fourth that is next to nothing."""
    logits = torch.full((9, 30), -6.0)
    logits[4, 2:13] = torch.tensor([1.0, 3, 5, 3, 1, 0.5, 1, 2, 4, 2, 1])
    logits[2:5, 20] = torch.tensor([-4.0, -1, -2])
    logits[7, 27] = -4.5
    two = split(logits, 2)
    assert len(split(logits)) == 1 and [int(part.argmax()) % 30 for part in two] == [4, 20]
    first, faint, second = split(logits, 3)
    assert (first > 0).nonzero()[:, 1].tolist() == list(range(2, 8)) and first[4, 10] < 0
    assert (second > 0).nonzero()[:, 1].tolist() == list(range(8, 13))
    assert (faint > 0).nonzero().tolist() == [[3, 20], [4, 20]]  # cut at 6/11 of its height
    assert len(split(logits, 9)) == 3 and len(split(logits - 9, 3)) == 1 and len(split(logits.abs(), 3)) == 1


def test_numbers_of_phrases() -> None:
    for phrase, number in {'two red stars': 2, 'The three dogs': 3, 'all 12 boats': 12}.items():
        assert number_of(phrase) == number
    for phrase in ('a star', 'two', '', 'the woman with two dogs', '1 dog', '1950 cars'):
        assert number_of(phrase) is None


def test_masks_that_overlap_are_one_thing() -> None:
    masks = torch.zeros(4, 6, 10, dtype=torch.bool)
    masks[0, :4, :4] = masks[1, 1:4, :4] = True  # one thing twice, the second surer
    masks[2, :, 6:] = True
    assert merge(masks, torch.tensor([0.5, 0.8, 0.6, 0.9])) == [1, 2]
