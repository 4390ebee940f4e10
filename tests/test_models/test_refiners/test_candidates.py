"""Points as prompts, and several masks of a phrase of which one is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from flmm_plugin.models.refiners.candidates import agreement, choose, cut
from flmm_plugin.models.refiners.points import prompt_points
from flmm_plugin.registry import MODELS
from tests.tiny_flmm import random_image, tiny_refiner
from tests.tiny_segmenters import AVAILABLE, save_segmenter

SIZE = (40, 60)
IMAGE = random_image(*SIZE)


def two_hills() -> Tensor:
    """(1, 16, 24) logits: a high hill at the left, a lower one at the right, a hollow between them."""
    logits = torch.full((1, 16, 24), -4.0)
    logits[0, 4:8, 2:20] = -1
    logits[0, 4:7, 3:6], logits[0, 5, 4] = 1, 3
    logits[0, 5:8, 16:19], logits[0, 6, 17] = 1, 2
    logits[0, 7, 10] = -5
    return logits


def test_points_lie_on_the_hills_and_in_the_hollow() -> None:
    points, labels = prompt_points(two_hills(), (32, 48))
    assert labels.tolist() == [[1, 1, 0]]
    assert points.tolist() == [[[8.5, 10.5], [34.5, 12.5], [20.5, 14.5]]]


def test_no_second_and_no_negative_point_where_there_is_none() -> None:
    _, labels = prompt_points(two_hills().clamp(max=2.5) - 2.2, (32, 48))
    assert labels.tolist() == [[1, -1, -1]]
    _, labels = prompt_points(torch.full((1, 4, 4), -1.0), (32, 48))
    assert labels.tolist() == [[1, -1, 0]]


@pytest.mark.parametrize('kind', ['segment-anything', *(kind for kind in ('sam', 'sam2') if kind in AVAILABLE)])
def test_points_reach_the_decoder(kind: str, tmp_path: Path) -> None:
    """The official forward pass of each gives the same masks for the same points."""
    torch.manual_seed(0)
    if kind == 'segment-anything':
        sam = MODELS.build(tiny_refiner(prompts=('points', 'box'))).eval()
    else:
        folder = save_segmenter(kind, tmp_path)
        sam = MODELS.build(dict(type='HFSAMRefiner', pretrained=str(folder), prompts=('points', 'box'))).eval()
    logits, input_size = two_hills(), sam.input_size(IMAGE)
    points, labels = prompt_points(logits, input_size)
    boxes = sam.boxes(logits, SIZE, input_size)
    with torch.no_grad():
        masks, _ = sam(IMAGE, logits)
        features = sam.encode_images([IMAGE])[0]
        if kind == 'segment-anything':
            sparse, dense = sam.model.prompt_encoder(points=(points, labels), boxes=boxes, masks=None)
            position = sam.model.prompt_encoder.get_dense_pe()
            expected, _ = sam.model.mask_decoder(features, position, sparse, dense, multimask_output=False)
        else:
            expected = sam.model(
                sam.preprocess([IMAGE]),
                input_points=points[None],
                input_labels=labels[None],
                input_boxes=boxes[None],
                multimask_output=False,
            ).pred_masks[0]
    torch.testing.assert_close(masks, sam.image_masks(expected[:, 0], input_size, SIZE), atol=1e-4, rtol=0)


def test_the_kept_mask_is_sure_and_agrees() -> None:
    coarse = torch.full((4, 8, 8), -1.0)
    coarse[:, 2:6, 2:6] = 1
    logits = torch.full((4, 1, 8, 8), -1.0)
    logits[0, 0, 2:6, 2:6] = 1  # sure and right
    logits[1] = 1  # surer, everywhere
    logits[2, 0, 2:4, 2:6] = 1  # half of it, surer
    logits[3, 0, 2:6, 2:6] = 1
    scores = torch.tensor([[0.8], [0.9], [0.9], [0.7]])
    torch.testing.assert_close(agreement(logits, coarse)[:, 0], torch.tensor([1.0, 0.25, 0.5, 1.0]))
    masks, kept = choose(logits, scores, coarse, levels=2)
    assert torch.equal(masks, torch.stack([logits[0, 0], logits[3, 0]]))
    assert kept.tolist() == scores[[0, 3], 0].tolist()


@pytest.mark.parametrize('text', [False, True])
def test_levels_and_several_masks_are_those_decoded_alone(text: bool) -> None:
    """Of each level's three masks the best one, whoever shares the call."""
    torch.manual_seed(0)
    prompts = ('mask', 'box', 'text') if text else ('mask', 'box')
    both = MODELS.build(tiny_refiner(prompts=prompts, multimask_output=True, levels=(-1.0, 0.5))).eval()
    logits = torch.randn(3, 10, 15) * 3
    logits[:, 0, 0] = -20  # the value outside the image is the lowest of all
    words = [torch.randn(1 + index, both.embed_dim) for index in range(3)] if text else None
    with torch.no_grad():
        masks, scores = both(IMAGE, logits, words)
        own = both.encode_images([IMAGE])
        input_size = both.input_size(IMAGE)
        for index in range(3):
            cuts = cut(logits[index : index + 1], both.levels)
            dense, sparse = both.embed_prompts(cuts, SIZE, input_size)
            more = list(sparse) if words is None else [torch.cat([one, words[index]]) for one in sparse]
            found, sure = both.decode(own * 2, dense, more)
            assert found.shape[:2] == (2, 3)
            worth = (sure.clamp(min=0) ** 2 * agreement(found, both.mask_prompts(cuts, input_size)[:, 0])).flatten()
            best = int(worth.argmax())
            expected = both.image_masks(found.flatten(0, 1)[best : best + 1], input_size, SIZE)
            torch.testing.assert_close(masks[index : index + 1], expected, atol=1e-3, rtol=1e-3)
            torch.testing.assert_close(scores[index], sure.flatten()[best], atol=1e-4, rtol=1e-4)


def test_gradients_pass_to_the_mask_prompt_of_the_level_that_is_kept() -> None:
    sam = MODELS.build(tiny_refiner(prompts=('mask', 'points'), levels=(-1.0, 0.0, 1.0))).train()
    logits = two_hills().requires_grad_()
    sam(IMAGE, logits)[0].sum().backward()
    assert logits.grad is not None and logits.grad.abs().sum() > 0
