"""Tiny random segment-anything models of transformers with their image processors, as folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from packaging.version import Version

SIDE = 128
WIDTH = 32
PROMPTS = dict(hidden_size=WIDTH, image_size=SIDE, patch_size=16, mask_input_channels=8)
DECODER = dict(
    hidden_size=WIDTH, mlp_dim=32, num_attention_heads=2, iou_head_hidden_dim=16, num_hidden_layers=2, iou_head_depth=2
)
PYRAMID = [[SIDE // 4] * 2, [SIDE // 8] * 2, [SIDE // 16] * 2]
HIERA = dict(
    hidden_size=8,
    image_size=[SIDE, SIDE],
    blocks_per_stage=[1, 1, 2, 1],
    embed_dim_per_stage=[8, 16, 32, 64],
    num_attention_heads_per_stage=[1, 1, 2, 2],
    window_size_per_stage=[4, 4, 4, 4],
    global_attention_blocks=[3],
    window_positional_embedding_background_size=[4, 4],
)


VIT = dict(
    hidden_size=24,
    output_channels=WIDTH,
    num_hidden_layers=2,
    num_attention_heads=2,
    image_size=SIDE,
    patch_size=16,
    global_attn_indexes=[1],
    window_size=4,
    num_pos_feats=WIDTH // 2,
    mlp_dim=32,
    initializer_range=0.02,
)


def sam2() -> tuple[Any, Any]:
    config = transformers.Sam2Config(
        vision_config=dict(
            backbone_config=dict(model_type='sam2_hiera_det_model', **HIERA),
            backbone_channel_list=[64, 32, 16, 8],
            backbone_feature_sizes=PYRAMID,
            fpn_hidden_size=WIDTH,
        ),
        prompt_encoder_config=dict(PROMPTS),
        mask_decoder_config=dict(DECODER),
    )
    return transformers.Sam2Model(config), squashing_processor()


def edgetam() -> tuple[Any, Any]:
    backbone = transformers.TimmWrapperConfig(
        architecture='repvit_m1', model_args=dict(in_chans=3, features_only=True, out_indices=[0, 1, 2, 3])
    )
    config = transformers.EdgeTamConfig(
        vision_config=transformers.EdgeTamVisionConfig(
            backbone_config=backbone, backbone_feature_sizes=PYRAMID, fpn_hidden_size=WIDTH
        ),
        prompt_encoder_config=dict(PROMPTS),
        mask_decoder_config=dict(DECODER),
    )
    return transformers.EdgeTamModel(config), squashing_processor()


def sam3_tracker() -> tuple[Any, Any]:
    backbone = dict(
        model_type='sam3_vit_model',
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE,
        pretrain_image_size=SIDE // 2,
        patch_size=16,
        window_size=4,
        global_attn_indexes=[1],
    )
    config = transformers.Sam3TrackerConfig(
        vision_config=dict(
            model_type='sam3_vision_model',
            backbone_config=backbone,
            fpn_hidden_size=WIDTH,
            backbone_feature_sizes=PYRAMID,
        ),
        prompt_encoder_config=dict(PROMPTS),
        mask_decoder_config=dict(DECODER),
    )
    return transformers.Sam3TrackerModel(config), squashing_processor()


def sam_hq() -> tuple[Any, Any]:
    config = transformers.SamHQConfig(
        vision_config=dict(VIT),
        prompt_encoder_config=dict(PROMPTS, image_embedding_size=SIDE // 16),
        mask_decoder_config=dict(DECODER, vit_dim=24),
    )
    return transformers.SamHQModel(config), padding_processor()


def sam() -> tuple[Any, Any]:
    config = transformers.SamConfig(
        vision_config=dict(VIT),
        prompt_encoder_config=dict(PROMPTS, image_embedding_size=SIDE // 16),
        mask_decoder_config=dict(DECODER),
    )
    return transformers.SamModel(config), padding_processor()


def squashing_processor() -> Any:
    name = 'Sam2ImageProcessor' if hasattr(transformers, 'Sam2ImageProcessor') else 'Sam2ImageProcessorFast'
    return getattr(transformers, name)(size=dict(height=SIDE, width=SIDE))


def padding_processor() -> Any:
    return transformers.SamImageProcessor(size=dict(longest_edge=SIDE), pad_size=dict(height=SIDE, width=SIDE))


#: By kind: the first release of transformers that has it, and what makes it.
KINDS: dict[str, tuple[str, Callable[[], tuple[Any, Any]]]] = {
    'sam': ('4.48', sam),
    'sam_hq': ('4.52', sam_hq),
    'sam2': ('4.56', sam2),
    'edgetam': ('5.24', edgetam),  # earlier configs ask the Hub for a default, even where it is not used
    'sam3_tracker': ('5.0', sam3_tracker),
}
AVAILABLE = [kind for kind, (since, _) in KINDS.items() if Version(since) <= Version(transformers.__version__)]


def save_segmenter(kind: str, folder: Path) -> Path:
    """Write model and image processor."""
    torch.manual_seed(0)
    model, processor = KINDS[kind][1]()
    for parameter in model.parameters():
        if parameter.dim() == 1 or not parameter.any():  # what starts at zero or one would hide mistakes
            parameter.data += 0.05 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
