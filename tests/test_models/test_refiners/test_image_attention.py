"""Fused kernels against segment-anything's own attention of the image encoder."""

from __future__ import annotations

import pytest
import torch
from segment_anything.modeling.image_encoder import Attention

from flmm_plugin.models.refiners import image_attention
from flmm_plugin.models.refiners.image_attention import FusedAttention
from flmm_plugin.registry import MODELS
from tests.tiny_flmm import tiny_refiner


@pytest.mark.parametrize('chunk_bytes', [2**22, 1])
@pytest.mark.parametrize('relative', [True, False])
def test_equals_segment_anything(relative: bool, chunk_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All rows at once and one by one, on a window that is not square."""
    monkeypatch.setitem(image_attention.CHUNK_BYTES, 'cpu', chunk_bytes)
    torch.manual_seed(0)
    attention = Attention(16, num_heads=2, use_rel_pos=relative, input_size=(5, 7))
    if relative:  # zero in a new model
        torch.nn.init.normal_(attention.rel_pos_h)
        torch.nn.init.normal_(attention.rel_pos_w)
    x = torch.randn(3, 5, 7, 16)
    expected = attention(x)
    attention.__class__ = FusedAttention
    assert (expected - attention(torch.zeros_like(x))).abs().max() > 0.1
    torch.testing.assert_close(attention(x), expected, atol=1e-6, rtol=1e-5)


def test_image_encoders_are_fused() -> None:
    encoder = MODELS.build(tiny_refiner()).model.image_encoder
    assert [type(block.attn) for block in encoder.blocks] == [FusedAttention]
