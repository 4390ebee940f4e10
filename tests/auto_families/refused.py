"""LMMs that are refused."""

from __future__ import annotations

from pathlib import Path

import transformers as tf

from tests.auto_families.parts import TEXT, as_class, save, template, tokenizer
from tests.auto_families.squares import paligemma
from tests.auto_families.tiles import internvl
from tests.tiny_lmms import SIZES


def save_paligemma2(folder: Path) -> Path:
    """As PaliGemma, but its text caps the logits of attention."""
    return paligemma(folder, 'gemma2')


def save_internvl_gpt_oss(folder: Path) -> Path:
    """InternVL 3.5 on GPT-OSS, each head of which has a sink."""
    return internvl(folder, tf.GptOssConfig, **TEXT, head_dim=16, num_local_experts=2, num_experts_per_tok=1)


def save_idefics2(folder: Path) -> Path:
    """A resampler: 8 queries for each picture."""
    words = tokenizer(folder, around='<fake_token_around_image>', end='<end_of_utterance>')
    images = tf.Idefics2ImageProcessor(size={'longest_edge': 64, 'shortest_edge': 32}, do_image_splitting=False)
    config = tf.Idefics2Config(
        vision_config=dict(SIZES, image_size=64, patch_size=8),
        perceiver_config=dict(
            resampler_n_latents=9,
            resampler_depth=1,
            resampler_n_heads=4,
            resampler_head_dim=8,
            num_key_value_heads=2,
            hidden_size=32,
        ),
        text_config=tf.MistralConfig(**TEXT, vocab_size=len(words)),
        image_token_id=words.convert_tokens_to_ids('<image>'),
    )
    processor = tf.Idefics2Processor(images, words, image_seq_len=9, chat_template=template('<image>'))
    return save(folder, processor, tf.Idefics2ForConditionalGeneration, config)


def save_aria(folder: Path) -> Path:
    """Queries that attend to all patches, and experts."""
    words = tokenizer(folder, image_token='<image>')
    images = tf.AriaImageProcessor(max_image_size=490, min_image_size=56)
    config = tf.AriaConfig(
        vision_config=dict(SIZES, model_type='idefics3_vision', image_size=490, patch_size=70),
        text_config=tf.AriaTextConfig(
            **TEXT,
            moe_num_experts=2,
            moe_topk=1,
            moe_num_shared_experts=1,
            vocab_size=len(words),
            pad_token_id=words.pad_token_id,
        ),
        image_token_index=words.convert_tokens_to_ids('<image>'),
        projector_patch_to_query_dict={49: 9},
    )
    processor = tf.AriaProcessor(images, words, size_conversion={490: 9}, chat_template=template('<image>'))
    return save(folder, processor, tf.AriaForConditionalGeneration, config)


def save_blip2(folder: Path) -> Path:
    """A Q-Former."""
    words = tokenizer(folder)
    images = tf.BlipImageProcessor(size={'height': 56, 'width': 56})
    config = tf.Blip2Config(
        vision_config=dict(SIZES, image_size=56, patch_size=14),
        qformer_config=dict(SIZES, encoder_hidden_size=32, vocab_size=len(words)),
        text_config=dict(
            model_type='opt',
            hidden_size=32,
            ffn_dim=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            vocab_size=len(words),
            word_embed_proj_dim=32,
            pad_token_id=words.pad_token_id,
        ),
        num_query_tokens=9,
        image_token_index=words.convert_tokens_to_ids('<image>'),
    )
    processor = tf.Blip2Processor(images, words, num_query_tokens=9, chat_template=template('<image>'))
    return save(folder, processor, tf.Blip2ForConditionalGeneration, config)


def save_mllama(folder: Path) -> Path:
    """The text attends to the image by layers of their own."""
    words = tokenizer(folder, image_token='<|image|>')
    images = tf.MllamaImageProcessor(size={'height': 56, 'width': 56}, max_image_tiles=2)
    config = tf.MllamaConfig(
        vision_config=dict(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_global_layers=1,
            attention_heads=4,
            image_size=56,
            patch_size=14,
            max_num_tiles=2,
            vision_output_dim=64,
            intermediate_layers_indices=[0],
            supported_aspect_ratios=[[1, 1], [1, 2], [2, 1]],
        ),
        text_config=dict(
            TEXT,
            num_hidden_layers=3,
            cross_attention_layers=[1],
            vocab_size=len(words) - 1,
            pad_token_id=words.pad_token_id,
            rope_scaling={'rope_type': 'default'},
        ),
        image_token_index=words.convert_tokens_to_ids('<|image|>'),
    )
    processor = tf.MllamaProcessor(images, words, chat_template=template('<|image|>'))
    return save(folder, processor, tf.MllamaForConditionalGeneration, config)


def save_florence2(folder: Path) -> Path:
    """An encoder and a decoder."""
    words = tokenizer(folder, image_token='<image>')
    words = as_class(words, 'BartTokenizerFast', image_token='<image>')
    images = tf.CLIPImageProcessorFast(size={'height': 64, 'width': 64}, crop_size={'height': 64, 'width': 64})
    images.image_seq_length = 9
    config = tf.Florence2Config(
        vision_config=dict(
            embed_dim=[8, 8, 16, 32],
            num_heads=[1, 1, 2, 4],
            num_groups=[1, 1, 2, 4],
            depths=[1, 1, 1, 1],
            window_size=2,
            projection_dim=32,
        ),
        text_config=dict(
            model_type='bart',
            d_model=32,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=32,
            decoder_ffn_dim=32,
            vocab_size=len(words),
        ),
        image_token_id=words.convert_tokens_to_ids('<image>'),
    )
    processor = tf.Florence2Processor(images, words, chat_template=template('<image>'))
    return save(folder, processor, tf.Florence2ForConditionalGeneration, config)
