"""A tiny SAM 2 of transformers, to be trained from scratch on scenes as the tiny SAM is."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import unwrap
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import Sam2Config, Sam2ImageProcessorFast, Sam2Model

from flmm_plugin.models.caches.feature_cache import Features
from flmm_plugin.models.refiners import HFSAMRefiner

SIDE, PATCH, WIDTH = 128, 8, 96
#: The tiny SAM's input, tokens and decoder; a Hiera of four stages, the first at half the input's resolution.
CONFIG: dict[str, Any] = dict(
    vision_config=dict(
        backbone_config=dict(
            model_type='sam2_hiera_det_model',
            hidden_size=24,
            image_size=[SIDE, SIDE],
            patch_kernel_size=[5, 5],
            patch_stride=[2, 2],
            patch_padding=[2, 2],
            blocks_per_stage=[1, 1, 3, 1],
            embed_dim_per_stage=[24, 48, 96, 192],
            num_attention_heads_per_stage=[1, 2, 4, 8],
            window_size_per_stage=[8, 8, 8, 8],
            global_attention_blocks=[3, 4],
            window_positional_embedding_background_size=[8, 8],
        ),
        backbone_channel_list=[192, 96, 48, 24],
        backbone_feature_sizes=[[64, 64], [32, 32], [16, 16]],
        fpn_hidden_size=WIDTH,
    ),
    prompt_encoder_config=dict(hidden_size=WIDTH, image_size=SIDE, patch_size=PATCH, mask_input_channels=8),
    mask_decoder_config=dict(
        hidden_size=WIDTH, mlp_dim=256, num_attention_heads=4, iou_head_depth=2, iou_head_hidden_dim=64
    ),
)


def save_untrained(folder: Path) -> None:
    """Write the model with random weights, and its image processor."""
    Sam2Model(Sam2Config(**CONFIG)).save_pretrained(folder)
    Sam2ImageProcessorFast(size=dict(height=SIDE, width=SIDE)).save_pretrained(folder)


def encode_in_training(refiner: HFSAMRefiner, images: Sequence[Tensor]) -> Features:
    """As :meth:`HFSAMRefiner.encode`, with gradients: the method of transformers forbids them."""
    model = refiner.model
    finest, finer, coarse = unwrap(type(model).get_image_embeddings)(model, refiner.preprocess(images))
    return coarse, finer, finest
