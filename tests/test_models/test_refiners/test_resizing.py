"""Resizing by matrices against PyTorch's interpolation, step by step as segment-anything and the authors do it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from segment_anything.modeling import Sam

from flmm_plugin.models.refiners.resizing import lay_on_square, needed, spread_over_image
from flmm_plugin.registry import MODELS
from tests.tiny_flmm import tiny_refiner

SIDE, WHOLE = 64, (32, 32)
SIZES = [((43, 64), (40, 60)), ((64, 39), (61, 37)), ((64, 64), (90, 90)), ((1, 64), (3, 200))]


def random_masks(height: int, width: int) -> torch.Tensor:
    return torch.randn(3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize('input_size', [(43, 64), (64, 39), (64, 64), (1, 64)])
def test_mask_prompts(input_size: tuple[int, int]) -> None:
    logits = random_masks(10, 15)
    resized = F.interpolate(logits[:, None], size=input_size, mode='bilinear')
    padding = (0, SIDE - input_size[1], 0, SIDE - input_size[0])
    lowest = min(-1.0, logits.min().item())
    padded = F.pad(resized, padding, value=lowest)
    expected = F.interpolate(padded, size=(32, 24), mode='bilinear')
    found = lay_on_square(logits, torch.tensor(lowest), input_size, SIDE, (32, 24))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('input_size, size', SIZES)
def test_masks_at_the_image_size(input_size: tuple[int, int], size: tuple[int, int]) -> None:
    """All of SAM's masks, or the part alone that the image needs; one row or column less would change them."""
    sam: Sam = MODELS.build(tiny_refiner()).model
    masks = random_masks(*WHOLE)
    expected = sam.postprocess_masks(masks[:, None], input_size, size)[:, 0]
    height, width = needed(input_size, SIDE, WHOLE)
    for part in (masks, masks[:, :height, :width]):
        found = spread_over_image(part, WHOLE, SIDE, input_size, size)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    for part in (masks[:, : height - 1, :width], masks[:, :height, : width - 1]):
        assert not torch.allclose(spread_over_image(part, WHOLE, SIDE, input_size, size), expected, atol=1e-4)


def test_gradients_of_masks() -> None:
    masks = random_masks(*WHOLE).requires_grad_()
    sam: Sam = MODELS.build(tiny_refiner()).model
    theirs = sam.postprocess_masks(masks[:, None], (43, 64), (40, 60))[:, 0]
    ours = spread_over_image(masks, WHOLE, SIDE, (43, 64), (40, 60))
    weight = random_masks(40, 60)
    found, expected = (torch.autograd.grad((result * weight).sum(), masks)[0] for result in (ours, theirs))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_inference_mode_leaves_nothing_that_training_cannot_use() -> None:
    masks = random_masks(*WHOLE).requires_grad_()
    sizes = (SIDE, (31, 64), (29, 53))
    with torch.inference_mode():
        spread_over_image(masks, WHOLE, *sizes)
    spread_over_image(masks, WHOLE, *sizes).sum().backward()
    assert masks.grad is not None and masks.grad.any()
