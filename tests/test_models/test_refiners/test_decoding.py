"""Decoding all phrases in one call, against segment-anything's own decoder called once a phrase."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from flmm_plugin.models.refiners import decoding
from flmm_plugin.registry import MODELS
from tests.tiny_flmm import tiny_refiner

LENGTHS = (0, 3, 1, 3)


def tensors(heads: int = 2) -> tuple[torch.nn.Module, list[Tensor], Tensor, list[Tensor]]:
    """A refiner, and for each of four phrases of two images features, a mask prompt and other prompts."""
    torch.manual_seed(0)
    config = tiny_refiner()
    config['arch']['decoder_num_heads'] = heads
    sam = MODELS.build(config).eval()
    grid = sam.model.prompt_encoder.image_embedding_size
    images = torch.randn(2, 1, sam.embed_dim, *grid)
    dense = torch.randn(len(LENGTHS), sam.embed_dim, *grid)
    return sam, [images[0], images[0], images[1], images[1]], dense, [torch.randn(n, sam.embed_dim) for n in LENGTHS]


def one_by_one(
    sam: torch.nn.Module, features: list[Tensor], dense: Tensor, prompts: list[Tensor], multimask: bool
) -> list[Tensor]:
    results = [
        sam.model.mask_decoder(
            image_embeddings=own,
            image_pe=sam.model.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=prompt[None],
            dense_prompt_embeddings=mask[None],
            multimask_output=multimask,
        )
        for own, mask, prompt in zip(features, dense, prompts, strict=True)
    ]
    return [torch.cat(parts) for parts in zip(*results, strict=True)]


@pytest.mark.parametrize('heads', [1, 2])  # of a width of 8: with one, prompts are few enough to be projected
@pytest.mark.parametrize(('chunk_bytes', 'multimask'), [(decoding.CPU_CHUNK_BYTES, False), (1, False), (1, True)])
def test_equals_segment_anything_one_by_one(
    chunk_bytes: int, multimask: bool, heads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same logits, scores and gradients for all weights that segment-anything has one for; also in chunks."""
    monkeypatch.setattr(decoding, 'CPU_CHUNK_BYTES', chunk_bytes)
    sam, features, dense, prompts = tensors(heads)
    sam.multimask_output = multimask
    results, gradients = [], []
    for decode in (sam.decode, lambda *given: one_by_one(sam, *given, multimask)):
        sam.zero_grad()
        inputs = dense.clone().requires_grad_()
        logits, scores = decode(features, inputs, prompts)
        (logits.square().mean() + scores.sum()).backward()
        results.append([logits, scores, inputs.grad])
        weights = sam.model.mask_decoder.named_parameters()
        gradients.append({name: weight.grad for name, weight in weights if weight.grad is not None})
    torch.testing.assert_close(*results, atol=1e-5, rtol=1e-4)
    assert len(gradients[0]) > 40
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-4)


def test_part_of_the_masks() -> None:
    sam, features, dense, prompts = tensors()
    whole, scores = sam.decode(features, dense, prompts)
    part, same_scores = sam.decode(features, dense, prompts, (5, 7))
    assert part.shape == (len(LENGTHS), 1, 20, 28) and whole.shape == (len(LENGTHS), 1, 32, 32)
    torch.testing.assert_close(part, whole[..., :20, :28], atol=1e-6, rtol=1e-6)
    assert torch.equal(scores, same_scores)


def test_images_do_not_mix() -> None:
    sam, features, dense, prompts = tensors()
    logits, _ = sam.decode(features, dense, prompts)
    features[2] = features[3] = torch.randn_like(features[2])
    changed, _ = sam.decode(features, dense, prompts)
    torch.testing.assert_close(changed[:2], logits[:2], atol=1e-6, rtol=1e-6)
    assert not torch.allclose(changed[2:], logits[2:], atol=1e-2)
