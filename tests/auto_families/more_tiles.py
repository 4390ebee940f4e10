"""More tiny random LMMs whose processors cut pictures into tiles: their layouts are tested, not all they can do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers as tf

from tests.auto_families.parts import TEXT, save, template, tokenizer
from tests.tiny_lmms import PINPOINTS, SIZES


def save_smolvlm(folder: Path) -> Path:
    """As Idefics3, by its own processor (which needs num2words)."""
    tags = {f'row_{row}_col_{col}': f'<row_{row}_col_{col}>' for row in range(1, 5) for col in range(1, 5)}
    words_ = tokenizer(
        folder,
        fake_image_token='<fake_token_around_image>',
        global_image_token='<global-img>',
        end_of_utterance_token='<end_of_utterance>',
        image_token='<image>',
        video_token='<video>',
        **tags,
    )
    images = tf.SmolVLMImageProcessor(size={'longest_edge': 256}, max_image_size={'longest_edge': 64})
    config = tf.SmolVLMConfig(
        vision_config=dict(SIZES, image_size=64, patch_size=16),
        text_config=tf.LlamaConfig(**TEXT, vocab_size=len(words_), pad_token_id=words_.pad_token_id),
        image_token_id=words_.convert_tokens_to_ids('<image>'),
        scale_factor=2,
        pad_token_id=words_.pad_token_id,
    )
    processor = tf.SmolVLMProcessor(
        images, words_, tf.SmolVLMVideoProcessor(), image_seq_len=4, chat_template=template('<image>')
    )
    return save(folder, processor, tf.SmolVLMForConditionalGeneration, config)


def save_aya_vision(folder: Path) -> Path:
    """Tiles of 64 pixels, 2 x 2 tokens each, named by words; the overview last."""
    words_ = tokenizer(
        folder,
        start='<|START_OF_IMG|>',
        end='<|END_OF_IMG|>',
        patch='<|IMG_PATCH|>',
        line='<|IMG_LINE_BREAK|>',
        tile='TILE',
        overview='TILE_GLOBAL',
    )
    images = tf.GotOcr2ImageProcessorFast(
        size={'height': 64, 'width': 64}, crop_to_patches=True, min_patches=1, max_patches=6
    )
    config = tf.AyaVisionConfig(
        vision_config=tf.SiglipVisionConfig(**SIZES, image_size=64, patch_size=16, vision_use_head=False),
        text_config=tf.Cohere2Config(
            **TEXT, vocab_size=len(words_), head_dim=16, sliding_window=16, sliding_window_pattern=2
        ),
        image_token_index=words_.convert_tokens_to_ids('<|IMG_PATCH|>'),
        alignment_intermediate_size=64,
    )
    processor = tf.AyaVisionProcessor(
        images, words_, patch_size=16, img_size=64, downsample_factor=2, chat_template=template('<image>')
    )
    return save(folder, processor, tf.AyaVisionForConditionalGeneration, config)


def save_llama4(folder: Path) -> Path:
    """Tiles of 56 pixels, 2 x 2 tokens each, with separators, padded right and below; the overview last."""
    words_ = tokenizer(
        folder,
        image='<|image|>',
        start='<|image_start|>',
        end='<|image_end|>',
        patch='<|patch|>',
        across='<|tile_x_separator|>',
        down='<|tile_y_separator|>',
    )
    images = tf.Llama4ImageProcessorFast(size={'height': 56, 'width': 56}, max_patches=6)
    config = tf.Llama4Config(
        vision_config=dict(
            SIZES,
            image_size=56,
            patch_size=14,
            vision_output_dim=32,
            projector_input_dim=32,
            projector_output_dim=32,
            intermediate_size=128,
        ),
        text_config=dict(
            TEXT,
            vocab_size=len(words_),
            head_dim=16,
            intermediate_size_mlp=64,
            num_local_experts=2,
            attention_chunk_size=32,
        ),
        image_token_index=words_.convert_tokens_to_ids('<|patch|>'),
        boi_token_index=words_.convert_tokens_to_ids('<|image_start|>'),
        eoi_token_index=words_.convert_tokens_to_ids('<|image_end|>'),
    )
    processor = tf.Llama4Processor(images, words_, patch_size=14, chat_template=template('<|image|>'))
    return save(folder, processor, tf.Llama4ForConditionalGeneration, config)


def save_ovis2(folder: Path) -> Path:
    """The overview, then tiles of 64 pixels, 2 x 2 tokens each, between indicator tokens."""
    indicators = {f'indicator_{i}': f'<IMG_{name}>' for i, name in enumerate(('START', 'GRID', 'COL', 'ROW', 'END'))}
    words_ = tokenizer(folder, image_token='<IMG_ATOM>', **indicators)
    images = tf.Ovis2ImageProcessorFast(size={'height': 64, 'width': 64}, crop_to_patches=True, max_patches=6)
    config = tf.Ovis2Config(
        vision_config=dict(
            SIZES, image_size=64, patch_size=16, vocab_size=40, hidden_stride=2, num_visual_indicator_tokens=5
        ),
        text_config=dict(TEXT, model_type='qwen2', vocab_size=len(words_)),
        image_token_id=words_.convert_tokens_to_ids('<IMG_ATOM>'),
        visual_indicator_token_ids=words_.convert_tokens_to_ids(list(indicators.values())),
        vocab_size=len(words_),
        hidden_size=32,
    )
    processor = tf.Ovis2Processor(images, words_, image_seq_length=4, chat_template=template('<image>'))
    return save(folder, processor, tf.Ovis2ForConditionalGeneration, config)


def save_perception_lm(folder: Path) -> Path:
    """The overview, then tiles of 56 pixels, 2 x 2 tokens each; a vision tower of timm."""
    words_ = tokenizer(folder, image_token='<image>', video_token='<video>')
    images = tf.PerceptionLMImageProcessorFast(
        tile_size=56, max_num_tiles=6, vision_input_type='thumb+tile', size={'height': 56, 'width': 56}
    )
    tower: dict[str, Any] = dict(embed_dim=32, depth=2, num_heads=4, img_size=56, patch_size=14, ref_feat_shape=[4, 4])
    config = tf.PerceptionLMConfig(
        vision_config=dict(
            architecture='vit_pe_core_large_patch14_336', do_pooling=False, num_classes=0, model_args=tower
        ),
        text_config=tf.LlamaConfig(**TEXT, vocab_size=len(words_)).to_dict(),
        projector_pooling_ratio=2,
        image_token_id=words_.convert_tokens_to_ids('<image>'),
        video_token_id=words_.convert_tokens_to_ids('<video>'),
    )
    config.vision_config.num_features = 32
    processor = tf.PerceptionLMProcessor(
        tf.PerceptionLMVideoProcessor(),
        images,
        words_,
        patch_size=14,
        pooling_ratio=2,
        chat_template=template('<image>'),
    )
    return save(folder, processor, tf.PerceptionLMForConditionalGeneration, config)


def save_llava_next(folder: Path) -> Path:
    """As the authors' LLaVA-NeXT, by HF's own processor: the overview is cropped, rows end with newline tokens."""
    words_ = tokenizer(folder, image_token='<image>')
    images = tf.LlavaNextImageProcessorFast(
        size={'shortest_edge': 32}, crop_size={'height': 32, 'width': 32}, image_grid_pinpoints=PINPOINTS
    )
    config = tf.LlavaNextConfig(
        vision_config=tf.CLIPVisionConfig(**SIZES, image_size=32, patch_size=8, projection_dim=32),
        text_config=tf.MistralConfig(**TEXT, vocab_size=len(words_)),
        image_token_index=words_.convert_tokens_to_ids('<image>'),
        image_grid_pinpoints=PINPOINTS,
        vision_feature_layer=-1,
    )
    processor = tf.LlavaNextProcessor(
        images,
        words_,
        patch_size=8,
        vision_feature_select_strategy='default',
        num_additional_image_tokens=1,
        chat_template=template('<image>'),
    )
    return save(folder, processor, tf.LlavaNextForConditionalGeneration, config)
