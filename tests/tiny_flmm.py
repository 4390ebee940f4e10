"""Tiny random models of every family that has an adapter, and the FLMM around them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor
from transformers import (
    AutoTokenizer,
    CLIPVisionConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessor,
    LlavaNextProcessor,
    MistralConfig,
)

from flmm_plugin.structures import Segment
from tests.tiny_llava import CHAT_TEMPLATE, save_tiny_llava

PINPOINTS = [[32, 64], [64, 32], [64, 64], [96, 32], [32, 96]]


def save_tiny_llava_next(folder: Path, seed: int = 0) -> Path:
    """A random LLaVA-NeXT on Mistral with grouped keys: image 32, patch 8, 2 layers of 4 heads on 2 keys."""
    tokenizer = AutoTokenizer.from_pretrained(save_tiny_llava(folder / 'for_tokenizer'))
    LlavaNextProcessor(
        LlavaNextImageProcessor(
            size={'shortest_edge': 32}, crop_size={'height': 32, 'width': 32}, image_grid_pinpoints=PINPOINTS
        ),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy='default',
        chat_template=CHAT_TEMPLATE,
    ).save_pretrained(folder)
    torch.manual_seed(seed)
    sizes = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4)
    LlavaNextForConditionalGeneration(
        LlavaNextConfig(
            vision_config=CLIPVisionConfig(**sizes, image_size=32, patch_size=8, projection_dim=32),
            text_config=MistralConfig(**sizes, num_key_value_heads=2, vocab_size=len(tokenizer)),
            image_token_index=tokenizer.convert_tokens_to_ids('<image>'),
            image_grid_pinpoints=PINPOINTS,
            vision_feature_layer=-1,
        )
    ).save_pretrained(folder)
    return folder


FAMILIES = {'LlavaLMM': save_tiny_llava, 'LlavaNextLMM': save_tiny_llava_next}


def tiny_refiner(**changes: Any) -> dict[str, Any]:
    """A SAM of input 64, patch 8 and width 16."""
    arch = dict(
        image_size=64,
        patch_size=8,
        embed_dim=16,
        depth=1,
        num_heads=2,
        global_attn_indexes=(0,),
        prompt_embed_dim=16,
        decoder_num_heads=2,
        decoder_mlp_dim=32,
        iou_head_hidden_dim=16,
    )
    return dict(type='SAMRefiner', arch=arch, **changes)


def tiny_flmm(lmm_dir: Path, family: str = 'LlavaLMM', **changes: Any) -> dict[str, Any]:
    """The config of an FLMM on a tiny LMM, with mmdet's losses as the authors set them."""
    config = dict(
        type='FLMM',
        lmm=dict(type=family, pretrained=str(lmm_dir)),
        mask_head=dict(type='UNetMaskHead', base_channels=4, num_stages=3, upsample_input=16),
        refiner=tiny_refiner(),
        loss_mask=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True),
        loss_dice=dict(type='mmdet.DiceLoss', use_sigmoid=True, naive_dice=True, eps=1.0),
    )
    return {**config, **changes}


def random_image(height: int, width: int, seed: int = 0) -> Tensor:
    """A smooth random uint8 picture (3, H, W): noise alone would be averaged away by the LMM's resizing."""
    noise = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return (torch.nn.functional.interpolate(noise, (height, width), mode='bilinear')[0] * 255).byte()


def random_sample(height: int, width: int, words: list[str], seed: int = 0) -> BaseDataElement:
    """A sample whose phrases are ``words``, each with a random mask."""
    segments = [Segment('there is')]
    for index, word in enumerate(words):
        segments += [Segment(word, index), Segment('and')]
    sample = BaseDataElement(metainfo=dict(prompt='describe this image', segments=segments))
    masks = torch.rand(len(words), height, width, generator=torch.Generator().manual_seed(seed)) > 0.5
    sample.gt_instances = InstanceData(masks=masks, phrases=words)
    return sample


def four_samples() -> tuple[list[Tensor], list[BaseDataElement]]:
    """Four pictures of different shapes with texts of different lengths."""
    shapes = [(40, 60), (60, 40), (50, 50), (33, 71)]
    phrases = [['the dog'], ['two dogs', 'sky'], ['a thing', 'grass', 'the sky'], ['the two dogs']]
    images = [random_image(*shape, seed=index) for index, shape in enumerate(shapes)]
    samples = [
        random_sample(*shape, words, seed=i) for i, (shape, words) in enumerate(zip(shapes, phrases, strict=True))
    ]
    return images, samples
