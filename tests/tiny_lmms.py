"""Tiny random models of every family that has an adapter, as ``save_pretrained`` leaves them."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import transformers
from transformers import (
    AutoTokenizer,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessor,
    LlavaNextProcessor,
    MistralConfig,
    PreTrainedTokenizerBase,
    SamVisionConfig,
    SiglipVisionConfig,
)

from tests.tiny_llava import CHAT_TEMPLATE, save_tiny_llava

PINPOINTS = [[32, 64], [64, 32], [64, 64], [96, 32], [32, 96]]
SIZES: dict[str, Any] = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4)


def words(folder: Path, **changes: Any) -> PreTrainedTokenizerBase:
    """The tokenizer of the tiny LLaVA."""
    return AutoTokenizer.from_pretrained(save_tiny_llava(folder / 'for_tokenizer'), **changes)


def save_tiny_llava_next(folder: Path) -> Path:
    """A random LLaVA-NeXT on Mistral with grouped keys: image 32, patch 8, 2 layers of 4 heads on 2 keys."""
    tokenizer = words(folder)
    LlavaNextProcessor(
        LlavaNextImageProcessor(
            size={'shortest_edge': 32}, crop_size={'height': 32, 'width': 32}, image_grid_pinpoints=PINPOINTS
        ),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy='default',
        chat_template=CHAT_TEMPLATE,
    ).save_pretrained(folder)
    torch.manual_seed(0)
    LlavaNextForConditionalGeneration(
        LlavaNextConfig(
            vision_config=CLIPVisionConfig(**SIZES, image_size=32, patch_size=8, projection_dim=32),
            text_config=MistralConfig(**SIZES, num_key_value_heads=2, vocab_size=len(tokenizer)),
            image_token_index=tokenizer.convert_tokens_to_ids('<image>'),
            image_grid_pinpoints=PINPOINTS,
            vision_feature_layer=-1,
        )
    ).save_pretrained(folder)
    return folder


def save_tiny_deepseek_vl(folder: Path) -> Path:
    """A random DeepSeek-VL: image 32, patch 8."""
    processor = transformers.DeepseekVLImageProcessor(size={'height': 32, 'width': 32})
    return save_deepseek(folder, 'DeepseekVL', processor)


def save_tiny_deepseek_vl_hybrid(folder: Path) -> Path:
    """A random hybrid DeepSeek-VL: image 32 and patch 8 for SigLIP, image 64 and patch 16 for SAM."""
    processor = transformers.DeepseekVLHybridImageProcessor(
        size={'height': 32, 'width': 32}, high_res_size={'height': 64, 'width': 64}
    )
    sam = SamVisionConfig(
        hidden_size=16,
        output_channels=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=64,
        patch_size=16,
        window_size=2,
        global_attn_indexes=[0],
        mlp_dim=32,
    )
    return save_deepseek(folder, 'DeepseekVLHybrid', processor, high_res_vision_config=sam)


def save_deepseek(folder: Path, name: str, image_processor: Any, **configs: Any) -> Path:
    tokenizer = words(folder, extra_special_tokens={'image_token': '<image>'})
    library: ModuleType = transformers
    getattr(library, f'{name}Processor')(
        image_processor, tokenizer, chat_template=CHAT_TEMPLATE, num_image_tokens=16
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = getattr(library, f'{name}Config')(
        vision_config=SiglipVisionConfig(**SIZES, image_size=32, patch_size=8),
        text_config=LlamaConfig(**SIZES, vocab_size=len(tokenizer)),
        image_token_id=tokenizer.convert_tokens_to_ids('<image>'),
        **configs,
    )
    getattr(library, f'{name}ForConditionalGeneration')(config).save_pretrained(folder)
    return folder


# What is saved, and the adapter that loads it.
FAMILIES = {'llava': (save_tiny_llava, 'LlavaLMM'), 'llava_next': (save_tiny_llava_next, 'LlavaNextLMM')}
if hasattr(transformers, 'DeepseekVLConfig'):
    FAMILIES['deepseek_vl'] = (save_tiny_deepseek_vl, 'DeepseekVLLMM')
    FAMILIES['deepseek_vl_hybrid'] = (save_tiny_deepseek_vl_hybrid, 'DeepseekVLLMM')
