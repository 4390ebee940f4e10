"""A tiny LLaVA, and what its vision tower is first trained with.

Shape shorthand: as in family.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from flmm_plugin.datasets.scenes.world import IMAGE_SIZE
from flmm_plugin.resampling import resize_bicubic
from flmm_plugin.tiny.family import MEAN, STD, Picture, TinyFamily, build_tokenizer, text_sizes

SIZE, PATCH = 112, 8
SIDE = SIZE // PATCH
CHAT_TEMPLATE = (
    "{{ '<s> ' }}{% for m in messages %}{% if m['role'] == 'user' %}USER: "
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}<image>\n{% else %}{{ c['text'] }}{% endif %}"
    "{% endfor %} ASSISTANT:{% else %} {% for c in m['content'] %}{{ c['text'] }}{% endfor %}</s>{% endif %}"
    '{% endfor %}'
)


class TinyLlava(TinyFamily):
    """CLIP's tower on 14 x 14 patches, a projector, a Llama."""

    model = LlavaForConditionalGeneration

    def build_processor(self) -> LlavaProcessor:
        tokenizer = build_tokenizer(
            ['<unk>', '<s>', '</s>', '<pad>', '<image>'],
            '</s>',
            bos_token='<s>',
            additional_special_tokens=['<image>'],
            model_max_length=512,
        )
        images = CLIPImageProcessor(
            size={'shortest_edge': SIZE},
            crop_size={'height': SIZE, 'width': SIZE},
            image_mean=[MEAN] * 3,
            image_std=[STD] * 3,
        )
        return LlavaProcessor(
            image_processor=images,
            tokenizer=tokenizer,
            patch_size=PATCH,
            vision_feature_select_strategy='default',
            chat_template=CHAT_TEMPLATE,
            num_additional_image_tokens=1,
        )

    def build_model(self, processor: Any, width: int = 128, layers: int = 4) -> LlavaForConditionalGeneration:
        tokenizer = processor.tokenizer
        vision = CLIPVisionConfig(
            hidden_size=width,
            intermediate_size=3 * width,
            num_hidden_layers=layers,
            num_attention_heads=4,
            image_size=SIZE,
            patch_size=PATCH,
            hidden_act='gelu',
            projection_dim=width,
        )
        config = LlavaConfig(
            vision_config=vision,
            text_config=LlamaConfig(**text_sizes(tokenizer, width, layers), max_position_embeddings=512),
            image_token_index=tokenizer.convert_tokens_to_ids('<image>'),
            vision_feature_layer=-1,
            vision_feature_select_strategy='default',
            image_seq_length=SIDE * SIDE,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
        )
        return LlavaForConditionalGeneration(config)

    def pixels(self, processor: Any, pictures: Sequence[Picture]) -> dict[str, Tensor]:
        """Resized as grounding does; small pictures stay small."""
        side = round(pictures[0].shape[0] * SIZE / IMAGE_SIZE)
        resized = [resize_bicubic(torch.from_numpy(picture).permute(2, 0, 1), (side, side)) for picture in pictures]
        return {'pixel_values': (torch.stack(resized).float() / 255 - MEAN) / STD}

    def tower(self, model: Any) -> nn.Module:
        tower = model.model.vision_tower
        return getattr(tower, 'vision_model', tower)  # transformers 5 has no layer between

    @torch.no_grad()
    def init_tower(self, tower: Any, pixels: dict[str, Tensor]) -> None:
        """Start the tower so that it sees, and so that it keeps track of where.

        Patch embedding: the whitened principal components of patches. Position embedding: N(0, 0.35), and waves along
        rows and columns in channels that the patches leave free. Reading words needs no positions: where patches fill
        every channel it wipes them out, and the language model is left without.
        """
        patches = F.unfold(pixels['pixel_values'], PATCH, stride=PATCH).transpose(1, 2).flatten(0, 1)
        weight = tower.embeddings.patch_embedding.weight
        waves = position_waves(SIDE)
        count = len(weight) - waves.shape[1]
        weight[:count] = whitening(patches, count).view(count, *weight.shape[1:])
        weight[count:] = 0
        table = tower.embeddings.position_embedding.weight
        nn.init.normal_(table, std=0.35)
        table[1:, count:] = waves

    def read(self, tower: Any, pixels: dict[str, Tensor]) -> Tensor:
        """Pictures smaller than the tower's are read at a random place of its position table."""
        embeddings = tower.embeddings
        patches = embeddings.patch_embedding(pixels['pixel_values'])
        side = patches.shape[-1]
        top, left = torch.randint(SIDE - side + 1, (2,)).tolist() if side < SIDE else (0, 0)
        table = embeddings.position_embedding.weight
        window = table[1:].view(SIDE, SIDE, -1)[top : top + side, left : left + side].reshape(side * side, -1)
        first = (embeddings.class_embedding + table[0]).expand(len(patches), 1, -1)
        tokens = torch.cat([first, patches.flatten(2).transpose(1, 2) + window], 1)
        return tower.encoder(tower.pre_layrnorm(tokens)).last_hidden_state[:, 1:]

    def image_tokens(self, model: Any, pixels: dict[str, Tensor]) -> Tensor:
        core = model.model
        return core.multi_modal_projector(core.vision_tower(**pixels).last_hidden_state[:, 1:])

    def num_tokens(self, pixels: dict[str, Tensor]) -> int:
        return (pixels['pixel_values'].shape[-1] // PATCH) ** 2

    def positions(self, model: Any, ids: Tensor, pixels: dict[str, Tensor]) -> Tensor:
        return torch.arange(len(ids))


def whitening(patches: Tensor, count: int) -> Tensor:
    """The ``count`` largest principal components of ``patches`` (M, values), scaled to variance 1: (count, values)."""
    values, vectors = torch.linalg.eigh(torch.cov((patches - patches.mean(0)).T))
    return (vectors[:, -count:] / values[-count:].clamp(min=1e-4).sqrt()).T


def position_waves(side: int, lengths: Sequence[float] = (4.0, 2.0, 1.0, 0.5)) -> Tensor:
    """Sines and cosines along columns and rows of a (side x side) grid, ``lengths`` in sides: (side * side, 16)."""
    at = (torch.arange(side) + 0.5) / side - 0.5
    angles = 2 * math.pi * at[:, None] / torch.tensor(lengths)
    waves = torch.cat([angles.sin(), angles.cos()], 1)  # (side, 8)
    rows, columns = waves[:, None].expand(-1, side, -1), waves[None].expand(side, -1, -1)
    return torch.cat([rows, columns], 2).flatten(0, 1)
