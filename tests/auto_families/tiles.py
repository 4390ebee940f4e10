"""LMMs that cut a picture into tiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers as tf

from tests.auto_families.parts import TEXT, save, template, tokenizer
from tests.tiny_lmms import SIZES


def save_internvl(folder: Path) -> Path:
    """Tiles of 56 pixels and an overview, 2 x 2 tokens each."""
    return internvl(folder, tf.Qwen2Config, **TEXT)


def internvl(folder: Path, text_config: type, name: str = 'InternVL', **text: Any) -> Path:
    """InternVL, or what is built as it, on any language model."""
    words_ = tokenizer(
        folder,
        start_image_token='<img>',
        end_image_token='</img>',
        context_image_token='<IMG_CONTEXT>',
        video_token='<video>',
    )
    images = tf.GotOcr2ImageProcessorFast(
        size={'height': 56, 'width': 56}, crop_to_patches=True, min_patches=1, max_patches=6
    )
    config = getattr(tf, f'{name}Config')(
        vision_config=dict(SIZES, image_size=[56, 56], patch_size=[14, 14]),
        text_config=text_config(**text, vocab_size=len(words_)),
        image_token_id=words_.convert_tokens_to_ids('<IMG_CONTEXT>'),
        image_seq_length=4,
        downsample_ratio=0.5,
    )
    videos, mark = ([tf.InternVLVideoProcessor()], '<IMG_CONTEXT>') if name == 'InternVL' else ([], '<image>')
    processor = getattr(tf, f'{name}Processor')(
        images, words_, *videos, image_seq_length=4, chat_template=template(mark)
    )
    return save(folder, processor, getattr(tf, f'{name}ForConditionalGeneration'), config)


def save_llava_onevision(folder: Path) -> Path:
    """Tiles of 56 pixels after the overview; rows end with newline tokens."""
    words_ = tokenizer(folder, image_token='<image>', video_token='<video>')
    pinpoints = [[56, 112], [112, 56], [112, 112], [112, 168], [168, 112]]
    images = tf.LlavaOnevisionImageProcessorFast(size={'height': 56, 'width': 56}, image_grid_pinpoints=pinpoints)
    config = tf.LlavaOnevisionConfig(
        vision_config=tf.SiglipVisionConfig(**SIZES, image_size=56, patch_size=14, vision_use_head=False),
        text_config=tf.Qwen2Config(**TEXT, vocab_size=len(words_)),
        image_token_index=words_.convert_tokens_to_ids('<image>'),
        video_token_index=words_.convert_tokens_to_ids('<video>'),
        image_grid_pinpoints=pinpoints,
        vision_feature_layer=-1,
    )
    processor = tf.LlavaOnevisionProcessor(
        images,
        words_,
        tf.LlavaOnevisionVideoProcessor(),
        num_image_tokens=16,
        vision_feature_select_strategy='full',
        chat_template=template('<image>'),
    )
    return save(folder, processor, tf.LlavaOnevisionForConditionalGeneration, config)


def save_idefics3(folder: Path) -> Path:
    """Tiles of 64 pixels, 2 x 2 tokens each, with tags; the overview last."""
    places = {f'p{row}{col}': f'<row_{row}_col_{col}>' for row in range(1, 7) for col in range(1, 7)}
    words = tokenizer(
        folder, around='<fake_token_around_image>', end='<end_of_utterance>', whole='<global-img>', **places
    )
    images = tf.Idefics3ImageProcessor(size={'longest_edge': 192}, max_image_size={'longest_edge': 64})
    config = tf.Idefics3Config(
        vision_config=dict(SIZES, image_size=64, patch_size=16),
        text_config=tf.LlamaConfig(**TEXT, vocab_size=len(words)),
        image_token_id=words.convert_tokens_to_ids('<image>'),
        scale_factor=2,
    )
    processor = tf.Idefics3Processor(images, words, image_seq_len=4, chat_template=template('<image>'))
    return save(folder, processor, tf.Idefics3ForConditionalGeneration, config)


def save_cohere2_vision(folder: Path) -> Path:
    """Tiles of 64 pixels, 4 x 4 tokens each; a layer whose attention slides, and heads wider than the model."""
    words = tokenizer(
        folder,
        boi_token='<|START_OF_IMG|>',
        eoi_token='<|END_OF_IMG|>',
        image_token='<|IMG_PATCH|>',
        img_line_break_token='<|IMG_LINE_BREAK|>',
    )
    images = tf.Cohere2VisionImageProcessorFast(
        size={'height': 64, 'width': 64}, crop_to_patches=True, min_patches=1, max_patches=6, patch_size=4
    )
    config = tf.Cohere2VisionConfig(
        vision_config=dict(SIZES, image_size=64, patch_size=8),
        text_config=dict(
            TEXT,
            vocab_size=len(words),
            head_dim=16,
            sliding_window=24,
            layer_types=['sliding_attention', 'full_attention'],
            tie_word_embeddings=True,
        ),
        image_token_id=words.convert_tokens_to_ids('<|IMG_PATCH|>'),
        downsample_factor=2,
        alignment_intermediate_size=128,
    )
    processor = tf.Cohere2VisionProcessor(images, words, chat_template=template('<|IMG_PATCH|>'))
    return save(folder, processor, tf.Cohere2VisionForConditionalGeneration, config)


def save_lfm2_vl(folder: Path) -> Path:
    """Tiles of 64 pixels, 2 x 2 tokens each; a convolution between two layers of attention."""
    words = tokenizer(
        folder,
        image_token='<image>',
        image_start_token='<|image_start|>',
        image_end_token='<|image_end|>',
        image_thumbnail='<|img_thumbnail|>',
        **{f'p{row}{col}': f'<|img_row_{row}_col_{col}|>' for row in range(1, 7) for col in range(1, 7)},
    )
    images = tf.Lfm2VlImageProcessorFast(
        tile_size=64, max_tiles=6, min_image_tokens=4, max_image_tokens=9, max_num_patches=64, encoder_patch_size=16
    )
    config = tf.Lfm2VlConfig(
        vision_config=dict(SIZES, num_patches=64, patch_size=16, vision_use_head=False),
        text_config=dict(
            TEXT,
            num_hidden_layers=3,
            vocab_size=len(words),
            block_multiple_of=8,
            layer_types=['full_attention', 'conv', 'full_attention'],
            bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id,
        ),
        image_token_id=words.convert_tokens_to_ids('<image>'),
        projector_hidden_size=32,
    )
    processor = tf.Lfm2VlProcessor(images, words, chat_template=template('<image>'))
    save(folder, processor, tf.Lfm2VlForConditionalGeneration, config)
    saved = folder / 'config.json'  # 4.57 writes a name that it does not know; the hub's has the right one
    saved.write_text(saved.read_text().replace('"lfm2-vl"', '"lfm2_vl"'))
    return folder
