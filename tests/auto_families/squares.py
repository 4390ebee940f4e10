"""LMMs that squash a picture into a square."""

from __future__ import annotations

from pathlib import Path

import transformers as tf

from tests.auto_families.parts import TEXT, as_class, save, template, tokenizer
from tests.tiny_lmms import SIZES


def save_gemma3(folder: Path) -> Path:
    """One square of 64 pixels, 4 x 4 tokens, with tags around."""
    words_ = tokenizer(folder, boi_token='<start_of_image>', eoi_token='<end_of_image>', image_token='<image_soft>')
    images = tf.Gemma3ImageProcessorFast(size={'height': 64, 'width': 64})
    config = tf.Gemma3Config(
        vision_config=dict(SIZES, image_size=64, patch_size=8, vision_use_head=False),
        text_config=dict(
            TEXT,
            vocab_size=len(words_),
            head_dim=16,
            sliding_window=24,
            query_pre_attn_scalar=16,
            layer_types=['sliding_attention', 'full_attention'],
        ),
        mm_tokens_per_image=16,
        boi_token_index=words_.convert_tokens_to_ids('<start_of_image>'),
        eoi_token_index=words_.convert_tokens_to_ids('<end_of_image>'),
        image_token_index=words_.convert_tokens_to_ids('<image_soft>'),
    )
    processor = tf.Gemma3Processor(images, words_, image_seq_length=16, chat_template=template('<start_of_image>'))
    return save(folder, processor, tf.Gemma3ForConditionalGeneration, config)


def save_paligemma(folder: Path) -> Path:
    """A square of 64 pixels, 4 x 4 tokens; all tokens of the question see one another."""
    return paligemma(folder, 'gemma')


def paligemma(folder: Path, text: str) -> Path:
    """PaliGemma on a Gemma of either kind."""
    words = as_class(tokenizer(folder, image_token='<image>'), 'GemmaTokenizerFast', image_token='<image>')
    images = tf.SiglipImageProcessorFast(size={'height': 64, 'width': 64})
    images.image_seq_length = 16
    processor = tf.PaliGemmaProcessor(images, words, chat_template=template('<image>'))
    config = tf.PaliGemmaConfig(
        vision_config=dict(SIZES, image_size=64, patch_size=16, vision_use_head=False),
        text_config=dict(TEXT, model_type=text, vocab_size=len(words), head_dim=16),
        image_token_index=words.convert_tokens_to_ids('<image>'),
        projection_dim=32,
    )
    return save(folder, processor, tf.PaliGemmaForConditionalGeneration, config)
