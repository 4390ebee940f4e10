"""A tiny FLMM, and pictures and texts for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor

from flmm_plugin.structures import Segment


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


def tiny_flmm(lmm_dir: Path | str, family: str = 'LlavaLMM', **changes: Any) -> dict[str, Any]:
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
