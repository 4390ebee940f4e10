"""LMMs of the newest releases that show a picture at its own size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers as tf

from tests.auto_families.parts import TEXT, save, template, tokenizer
from tests.auto_families.rotary import QWEN_CHAT, TOWER, glm4v, qwen_words
from tests.tiny_lmms import SIZES

ROPE: dict[str, Any] = dict(rope_type='default', rope_theta=10000.0, mrope_section=[1, 1, 2])
PIXELS = dict(shortest_edge=56 * 56, longest_edge=280 * 280)


def save_video_llama_3(folder: Path) -> Path:
    """Cells of 28 pixels, plain positions."""
    words, ids = qwen_words(folder)
    config = tf.VideoLlama3Config(
        vision_config=dict(SIZES, patch_size=14),
        text_config=dict(TEXT, model_type='qwen2', vocab_size=len(words)),
        image_token_id=ids['image_token_id'],
        video_token_id=ids['video_token_id'],
    )
    images = tf.VideoLlama3ImageProcessor(size=PIXELS, merge_size=2)
    processor = tf.VideoLlama3Processor(images, words, tf.VideoLlama3VideoProcessor(), chat_template=QWEN_CHAT)
    return save(folder, processor, tf.VideoLlama3ForConditionalGeneration, config)


def save_paddleocr_vl(folder: Path) -> Path:
    """Patches as pictures of their own, merged 2 x 2."""
    words = tokenizer(folder, image_token='<image>', start='<s_im>', end='<e_im>', video='<vid>')
    config = tf.PaddleOCRVLConfig(
        vision_config=dict(SIZES, image_size=56, patch_size=14),
        text_config=dict(TEXT, head_dim=8, vocab_size=len(words), rope_parameters=ROPE),
        image_token_id=words.convert_tokens_to_ids('<image>'),
        video_token_id=words.convert_tokens_to_ids('<vid>'),
        vision_start_token_id=words.convert_tokens_to_ids('<s_im>'),
        vision_end_token_id=words.convert_tokens_to_ids('<e_im>'),
    )
    images = tf.PaddleOCRVLImageProcessor(size=PIXELS)
    return save(
        folder,
        tf.PaddleOCRVLProcessor(images, words, chat_template=template('<s_im><image><e_im>')),
        tf.PaddleOCRVLForConditionalGeneration,
        config,
    )


def save_ernie4_5_vl_moe(folder: Path) -> Path:
    """Experts for the tokens of the image, and others for words."""
    from matplotlib import font_manager

    names = {f'{k}{w}_token': f'<{k}{w}>' for k in ('image', 'video') for w in ('', '_start', '_end')}
    words = tokenizer(folder, **names)
    ids = {n + '_id': words.convert_tokens_to_ids(v) for n, v in names.items()}
    config = tf.Ernie4_5_VLMoeConfig(
        vision_config=dict(depth=2, hidden_size=32, num_heads=2, intermediate_size=64),
        text_config=dict(
            TEXT,
            vocab_size=len(words),
            moe_intermediate_size=[16, 16],
            moe_k=2,
            moe_num_experts=4,
            moe_num_shared_experts=1,
            mlp_layer_types=['dense', 'sparse'],
            pad_token_id=0,
            rope_parameters=ROPE,
        ),
        **ids,
    )
    images = tf.Ernie4_5_VLMoeImageProcessor(size=PIXELS)
    vids = tf.Ernie4_5_VLMoeVideoProcessor(draw_on_frames=False, font=font_manager.findfont('DejaVu Sans'))

    return save(
        folder,
        tf.Ernie4_5_VLMoeProcessor(images, words, vids, chat_template=template('<image_start><image><image_end>')),
        tf.Ernie4_5_VLMoeForConditionalGeneration,
        config,
    )


def save_glm_ocr(folder: Path) -> Path:
    """As GLM-4V."""
    return glm4v(folder, tf.GlmOcrForConditionalGeneration)


def save_exaone4_5(folder: Path) -> Path:
    """Qwen2.5-VL's tower with grouped keys; a layer whose attention slides."""
    words, ids = qwen_words(folder)
    config = tf.Exaone4_5_Config(
        vision_config=dict(TOWER, fullatt_block_indexes=[1], num_key_value_heads=2),
        text_config=dict(
            TEXT,
            model_type='exaone4',
            vocab_size=len(words),
            sliding_window=24,
            layer_types=['sliding_attention', 'full_attention'],
        ),
        **{k: v for k, v in ids.items() if k in ('image_token_id', 'video_token_id')},
    )
    images = tf.Qwen2VLImageProcessor(min_pixels=56 * 56, max_pixels=280 * 280)
    return save(
        folder,
        tf.Exaone4_5_Processor(images, words, tf.Qwen2VLVideoProcessor(), chat_template=QWEN_CHAT),
        tf.Exaone4_5_ForConditionalGeneration,
        config,
    )
