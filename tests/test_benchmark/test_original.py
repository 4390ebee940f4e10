"""The original shares all weights with ours and ends up with the same, by other operations."""

from __future__ import annotations

import pytest
import torch
from segment_anything.modeling.image_encoder import Attention

from flmm_plugin.benchmark.forward import captured, eager
from flmm_plugin.benchmark.inputs import make_inputs
from flmm_plugin.benchmark.original import original_model, original_refiner
from flmm_plugin.benchmark.training import losses_and_gradients, make_samples
from flmm_plugin.models.flmm import FLMM
from flmm_plugin.models.refiners import SAMRefiner
from flmm_plugin.models.refiners.image_attention import FusedAttention
from flmm_plugin.registry import MODELS
from tests.test_benchmark.conftest import WriteConfig
from tests.tiny_flmm import random_image, tiny_refiner
from tests.tiny_lmms import FAMILIES

HEADS = [None, [5, 0, 2], [3]]


@pytest.fixture
def ours(write_config: WriteConfig) -> FLMM:
    return write_config('llava_next', dict(heads=[5, 0, 2])).model(0, 0).train()


@pytest.mark.parametrize('heads', HEADS)
@pytest.mark.parametrize('family', sorted(FAMILIES))
def test_ours_and_eager_end_up_with_the_same_maps(
    write_config: WriteConfig, family: str, heads: list[int] | None
) -> None:
    """Two grids of different size, and layers of which some or none of the heads are kept."""
    subject = write_config(family, dict(heads=heads, dtype='float32'))
    (length,) = subject.lengths(None, 3)
    lmm = subject.lmm(length, 3)
    sample = make_inputs(lmm, length, 3)
    (mine,), (theirs,) = captured(lmm, [sample]).maps, eager(lmm, [sample]).maps
    assert mine is not None and theirs is not None
    assert mine.shape[:2] == (3, (8 if heads is None else len(heads)) * lmm.num_grids)
    assert mine.std() > 1e-6  # maps that are all alike would agree in any order
    torch.testing.assert_close(theirs, mine, atol=1e-6, rtol=0)


def test_both_have_the_same_losses_and_gradients(ours: FLMM) -> None:
    original = original_model(ours)
    images, samples = make_samples(ours.lmm, 300, 2, batch=1)
    losses = losses_and_gradients(ours, images, samples)
    gradients = {name: p.grad.clone() for name, p in ours.named_parameters() if p.grad is not None}
    assert {'mask_head', 'sam', 'text_proj'} <= {name.partition('.')[0] for name in gradients}
    torch.testing.assert_close(losses_and_gradients(original, images, samples), losses, atol=1e-5, rtol=0)
    theirs = {name: p.grad for name, p in original.named_parameters() if p.grad is not None}
    torch.testing.assert_close(theirs, gradients, atol=1e-4, rtol=1e-3)


def test_no_weights_of_its_own(ours: FLMM) -> None:
    original = original_model(ours)
    for mine, theirs in (
        (dict(ours.named_parameters()), dict(original.named_parameters())),
        (dict(ours.named_buffers()), dict(original.named_buffers())),
    ):
        assert mine and mine.keys() == theirs.keys()
        assert all(theirs[name] is tensor for name, tensor in mine.items())
    assert not any(p.requires_grad for p in original.lmm.parameters())
    assert any(p.requires_grad for p in original.parameters())
    assert [module.training for module in original.modules()] == [module.training for module in ours.modules()]


def test_ours_stays_as_it_was(ours: FLMM) -> None:
    images, samples = make_samples(ours.lmm, 300, 2, batch=1)
    before = ours.tensor(images, samples)[0]
    original = original_model(ours)
    assert ours.sam is not None and original.sam is not None
    assert not {'forward', 'decode'} & {*vars(ours.lmm), *vars(ours.sam)}
    assert {type(block.attn) for block in ours.sam.model.image_encoder.blocks} == {FusedAttention}
    assert {type(block.attn) for block in original.sam.model.image_encoder.blocks} == {Attention}
    torch.testing.assert_close(ours.tensor(images, samples)[0], before, atol=0, rtol=0)


@torch.no_grad()
def test_decoder_is_called_once_a_phrase() -> None:
    torch.manual_seed(0)
    refiner: SAMRefiner = MODELS.build(tiny_refiner()).eval()
    original = original_refiner(refiner)
    calls: list[int] = []
    for index, one in enumerate((refiner, original)):
        one.model.mask_decoder.register_forward_hook(lambda *_, index=index: calls.append(index))
    image, coarse = random_image(48, 64), torch.randn(3, 12, 16)
    text = [torch.randn(1 + index, refiner.embed_dim) for index in range(3)]
    mine, theirs = refiner(image, coarse, text), original(image, coarse, text)
    assert calls == [1, 1, 1]  # ours does not call segment-anything's at all
    torch.testing.assert_close(theirs, mine, atol=1e-4, rtol=1e-4)


def test_an_encoder_of_another_make_is_left_alone() -> None:
    pytest.importorskip('timm')
    refiner = SAMRefiner(arch='vit_t')
    kinds = [type(module) for module in refiner.model.image_encoder.modules()]
    assert [type(module) for module in original_refiner(refiner).model.image_encoder.modules()] == kinds
