"""LMMs that show a picture at its own size, most with positions of several axes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers as tf

from tests.auto_families.parts import TEXT, as_class, save, template, tokenizer
from tests.tiny_lmms import SIZES


def qwen_words(folder: Path) -> tuple[tf.PreTrainedTokenizerFast, dict[str, int]]:
    """Qwen's tokenizer class with the words of the tiny LLaVA, and the ids that its configs ask for."""
    words = as_class(tokenizer(folder, **QWEN_MARKS), 'Qwen2TokenizerFast')
    return words, qwen_ids(words)


QWEN_MARKS = {name: f'<|{name}|>' for name in ('vision_start', 'vision_end', 'image_pad', 'video_pad')}


def qwen_ids(words: tf.PreTrainedTokenizerFast) -> dict[str, int]:
    start, end, image, video = words.convert_tokens_to_ids(list(QWEN_MARKS.values()))
    return dict(vision_start_token_id=start, vision_end_token_id=end, image_token_id=image, video_token_id=video)


QWEN_CHAT = template('<|vision_start|><|image_pad|><|vision_end|>')
TOWER: dict[str, Any] = dict(depth=2, hidden_size=32, out_hidden_size=32, num_heads=2, intermediate_size=32)
MROPE = {'type': 'mrope', 'mrope_section': [1, 1, 2]}


def save_qwen2_vl(folder: Path) -> Path:
    """Cells of 28 pixels."""
    words, ids = qwen_words(folder)
    config = tf.Qwen2VLConfig(
        text_config=dict(TEXT, vocab_size=len(words), rope_scaling=MROPE),
        vision_config=dict(depth=2, embed_dim=32, hidden_size=32, num_heads=2, mlp_ratio=2),
        **ids,
    )
    images = tf.Qwen2VLImageProcessorFast(min_pixels=56 * 56, max_pixels=280 * 280)
    processor = tf.Qwen2VLProcessor(images, words, tf.Qwen2VLVideoProcessor(), chat_template=QWEN_CHAT)
    return save(folder, processor, tf.Qwen2VLForConditionalGeneration, config)


def save_qwen2_5_vl(folder: Path) -> Path:
    """Cells of 28 pixels, windows in the vision tower."""
    words, ids = qwen_words(folder)
    config = tf.Qwen2_5_VLConfig(
        text_config=dict(TEXT, vocab_size=len(words), rope_scaling=MROPE),
        vision_config=dict(TOWER, fullatt_block_indexes=[1]),
        **ids,
    )
    images = tf.Qwen2VLImageProcessorFast(min_pixels=56 * 56, max_pixels=280 * 280)
    processor = tf.Qwen2_5_VLProcessor(images, words, tf.Qwen2VLVideoProcessor(), chat_template=QWEN_CHAT)
    return save(folder, processor, tf.Qwen2_5_VLForConditionalGeneration, config)


def save_qwen3_vl(folder: Path) -> Path:
    """Cells of 32 pixels, heads wider than the model."""
    words, ids = qwen_words(folder)
    config = tf.Qwen3VLConfig(
        text_config=dict(TEXT, head_dim=16, vocab_size=len(words), rope_scaling=MROPE_OF_16),
        vision_config=dict(TOWER, deepstack_visual_indexes=[0]),
        **ids,
    )
    return save(folder, qwen3_processor(words), tf.Qwen3VLForConditionalGeneration, config)


MROPE_OF_16 = {'rope_type': 'default', 'mrope_section': [3, 3, 2], 'mrope_interleaved': True}


def qwen3_processor(words: tf.PreTrainedTokenizerFast) -> tf.ProcessorMixin:
    images = tf.Qwen2VLImageProcessorFast(patch_size=16, min_pixels=64 * 64, max_pixels=320 * 320)
    return tf.Qwen3VLProcessor(images, words, tf.Qwen3VLVideoProcessor(), chat_template=QWEN_CHAT)


def save_glm4v(folder: Path) -> Path:
    """Cells of 28 pixels, tags around the picture."""
    return glm4v(folder, tf.Glm4vForConditionalGeneration)


def glm4v(folder: Path, model: type, **text: Any) -> Path:
    """GLM-4V, with experts or without."""
    names = {f'{what}_of_{kind}': f'<|{what}_of_{kind}|>' for what in ('begin', 'end') for kind in ('image', 'video')}
    words = tokenizer(folder, image_token='<|image|>', video_token='<|video|>', **names)
    ids = {name: words.convert_tokens_to_ids(f'<|{name}|>') for name in ('image', 'video', *names)}
    config = model.config_class(
        text_config=dict(
            TEXT,
            vocab_size=len(words),
            pad_token_id=words.pad_token_id,
            rope_scaling={'type': 'default', 'mrope_section': [1, 1, 2]},
            partial_rotary_factor=1.0,
            **text,
        ),
        vision_config=dict(TOWER, image_size=56, patch_size=14),
        image_token_id=ids['image'],
        video_token_id=ids['video'],
        image_start_token_id=ids['begin_of_image'],
        image_end_token_id=ids['end_of_image'],
        video_start_token_id=ids['begin_of_video'],
        video_end_token_id=ids['end_of_video'],
    )
    images = tf.Glm4vImageProcessorFast(size={'shortest_edge': 56 * 56 * 2, 'longest_edge': 280 * 280 * 2})
    chat = template('<|begin_of_image|><|image|><|end_of_image|>')
    return save(folder, tf.Glm4vProcessor(images, words, tf.Glm4vVideoProcessor(), chat_template=chat), model, config)


def save_mistral3(folder: Path) -> Path:
    """Cells of 16 pixels, of the picture's aspect; rows end with break tokens."""
    return mistral3(folder, tf.MistralConfig, **TEXT)


def mistral3(folder: Path, text_config: type, **text: Any) -> Path:
    """Mistral 3 on any language model."""
    words_ = tokenizer(folder, row_end='[IMG_BREAK]', image_end='[IMG_END]', image='[IMG]')
    images = tf.PixtralImageProcessorFast(size={'longest_edge': 224}, patch_size={'height': 16, 'width': 16})
    config = tf.Mistral3Config(
        vision_config=tf.PixtralVisionConfig(**SIZES, image_size=224, patch_size=8),
        text_config=text_config(**text, vocab_size=len(words_)),
        image_token_index=words_.convert_tokens_to_ids('[IMG]'),
        spatial_merge_size=2,
    )
    processor = tf.PixtralProcessor(images, words_, patch_size=8, spatial_merge_size=2, chat_template=template('[IMG]'))
    return save(folder, processor, tf.Mistral3ForConditionalGeneration, config)
