from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from segment_anything.utils.transforms import ResizeLongestSide

from flmm_plugin.boxes import mask_boxes
from flmm_plugin.errors import UserError
from flmm_plugin.models.refiners import SAMRefiner
from flmm_plugin.registry import MODELS
from tests.tiny_flmm import random_image, tiny_refiner

SIZE = (40, 60)


def refiner(**changes: object) -> SAMRefiner:
    torch.manual_seed(0)
    return MODELS.build(tiny_refiner(**changes)).eval()


def random_logits(phrases: int = 3) -> torch.Tensor:
    return torch.randn(phrases, 10, 15, generator=torch.Generator().manual_seed(0)) * 3


def random_text(*lengths: int, width: int = 16) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(length, width, generator=generator) for length in lengths]


def test_phrases_together_equal_one_by_one() -> None:
    sam, image, logits, text = refiner(), random_image(*SIZE), random_logits(), random_text(3, 1, 3)
    # The value outside the image is the lowest logit of all phrases of the image; give each phrase the same one.
    logits[:, 0, 0] = -20
    masks, scores = sam(image, logits, text)
    assert masks.shape == (3, *SIZE)
    for index in range(3):
        mask, score = sam(image, logits[index : index + 1], text[index : index + 1])
        torch.testing.assert_close(masks[index], mask[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(scores[index], score[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('prompts', [('mask',), ('box',), ('text',), ('mask', 'box'), ('box', 'text'), ('points',)])
def test_any_prompts(prompts: tuple[str, ...]) -> None:
    sam = refiner(prompts=prompts)
    masks, scores = sam(random_image(*SIZE), random_logits(), random_text(2, 1, 4))
    assert masks.shape == (3, *SIZE)
    assert scores.shape == (3,)


def test_wrong_prompts() -> None:
    with pytest.raises(ValueError, match='prompts must be some of'):
        refiner(prompts=('mask', 'scribble'))
    with pytest.raises(ValueError, match='levels must name'):
        refiner(levels=())


def test_boxes_around_masks() -> None:
    masks = torch.zeros(3, 20, 30, dtype=torch.bool)
    masks[0, 4:9, 7:15] = True
    masks[1, 19, 29] = True
    assert mask_boxes(masks).tolist() == [[7, 4, 15, 9], [29, 19, 30, 20], [0, 0, 30, 20]]


@pytest.mark.parametrize('size', [(40, 60), (61, 37)])
def test_boxes_in_the_input_of_sam(size: tuple[int, int]) -> None:
    sam = refiner()
    logits = torch.full((1, *size), -5.0)
    logits[0, 10:30, 8:20] = 5
    box = sam.boxes(logits, size, sam.input_size(random_image(*size)))
    expected = ResizeLongestSide(64).apply_boxes_torch(torch.tensor([[8, 10, 20, 30]]), size)
    torch.testing.assert_close(box, expected)


@pytest.mark.parametrize('size', [(2, 4000), (3000, 2)])
def test_the_thinnest_pictures_are_refined(size: tuple[int, int]) -> None:
    masks, scores = refiner()(random_image(*size), random_logits(), random_text(2, 1, 3))
    assert masks.shape == (3, *size) and masks.isfinite().all() and scores.isfinite().all()


@pytest.mark.parametrize('size', [(427, 640), (150, 97), (1024, 1023)])
def test_pictures_are_read_as_segment_anything_does(size: tuple[int, int]) -> None:
    sam, image = refiner(), random_image(*size)
    resized = torch.as_tensor(ResizeLongestSide(64).apply_image(image.permute(1, 2, 0).numpy()))
    expected = sam.model.preprocess(resized.permute(2, 0, 1)[None])
    found = sam.preprocess(image)
    # Later releases of Pillow resize in another order.
    assert found.shape == expected.shape and (found - expected).abs().max() < 0.05


def test_mask_prompt_is_background_outside_the_image() -> None:
    sam = refiner()
    prompt = sam.mask_prompts(torch.full((1, 20, 30), 2.0), sam.input_size(random_image(*SIZE)))
    assert prompt.shape == (1, 1, 32, 32)
    torch.testing.assert_close(prompt[0, 0, :21], torch.full((21, 32), 2.0))
    torch.testing.assert_close(prompt[0, 0, 22:], torch.full((10, 32), -1.0))


def test_gradients_pass_through_the_mask_prompt_only() -> None:
    for prompts, passes in ((('mask', 'box'), True), (('box',), False)):
        logits = random_logits().requires_grad_()
        masks, _ = refiner(prompts=prompts).train()(random_image(*SIZE), logits)
        masks.sum().backward()
        assert (logits.grad is not None) == passes


def test_image_encoder_is_frozen() -> None:
    sam = refiner().train()
    assert not any(p.requires_grad for p in sam.model.image_encoder.parameters())
    assert not sam.model.image_encoder.training
    assert all(p.requires_grad for p in sam.model.mask_decoder.parameters())


def test_features_are_cached_by_content_in_evaluation() -> None:
    sam = refiner(cache_size=2)
    (first,) = sam.encode_images([random_image(*SIZE)])
    assert sam.encode_images([random_image(*SIZE)])[0] is first
    for seed in (1, 2):
        sam.encode_images([random_image(*SIZE, seed=seed)])
    assert sam.encode_images([random_image(*SIZE)])[0] is not first
    sam.train()
    (again,) = sam.encode_images([random_image(*SIZE)])
    assert sam.encode_images([random_image(*SIZE)])[0] is not again


def test_images_are_encoded_in_one_call() -> None:
    """All that are not cached, each once, whatever their shapes and though they outnumber the cache."""
    sam, calls = refiner(cache_size=2), []
    sam.model.image_encoder.register_forward_hook(lambda _, inputs, __: calls.append(len(inputs[0])))
    images = [random_image(*SIZE), random_image(60, 40, seed=1), random_image(*SIZE), random_image(50, 50, seed=2)]
    alone = [refiner().encode_images([image])[0] for image in images]
    sam.encode_images(images[1:2])
    together = sam.encode_images(images)
    assert calls == [1, 2]
    assert together[0] is together[2]
    for one, expected in zip(together, alone, strict=True):
        torch.testing.assert_close(one, expected, atol=1e-5, rtol=1e-5)


def test_checkpoint(tmp_path: Path) -> None:
    sam = refiner()
    torch.save(sam.model.state_dict(), tmp_path / 'sam.pth')
    save_file(sam.model.state_dict(), tmp_path / 'sam.safetensors')
    for name in ('sam.pth', 'sam.safetensors'):
        torch.manual_seed(5)
        other = MODELS.build(tiny_refiner(checkpoint=str(tmp_path / name)))
        assert other.weights_hash() == sam.weights_hash()
    with pytest.raises(UserError, match=r'no such checkpoint: .*missing.pth'):
        MODELS.build(tiny_refiner(checkpoint=str(tmp_path / 'missing.pth')))


def test_unknown_arch() -> None:
    with pytest.raises(ValueError, match="'vit_x' is unknown"):
        SAMRefiner(arch='vit_x')
