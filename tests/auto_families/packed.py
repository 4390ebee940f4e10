"""LMMs whose processor hands on patches: as pictures of their own, in one row, or named for each token."""

from __future__ import annotations

from pathlib import Path

import transformers as tf

from tests.auto_families.parts import LINEAR_FIRST, TEXT, save, template, tokenizer
from tests.tiny_lmms import SIZES


def save_kimi_k25(folder: Path) -> Path:
    """Patches as pictures of their own, padded right and below; latent keys."""
    words = tokenizer(
        folder, image_token='<|media_pad|>', video_token='<|vid|>', b='<|media_begin|>', e='<|media_end|>'
    )
    config = tf.Kimi_K25Config(
        vision_config=dict(SIZES, pos_emb_height=16, pos_emb_width=16),
        text_config=dict(
            model_type='deepseek_v3',
            hidden_size=32,
            intermediate_size=64,
            moe_intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            n_shared_experts=1,
            n_routed_experts=4,
            kv_lora_rank=16,
            q_lora_rank=16,
            qk_rope_head_dim=8,
            v_head_dim=8,
            qk_nope_head_dim=16,
            n_group=1,
            topk_group=1,
            num_experts_per_tok=2,
            first_k_dense_replace=1,
            vocab_size=len(words),
        ),
        projection_hidden_size=32,
        image_token_id=words.convert_tokens_to_ids('<|media_pad|>'),
        video_token_id=words.convert_tokens_to_ids('<|vid|>'),
        vision_start_token_id=words.convert_tokens_to_ids('<|media_begin|>'),
        vision_end_token_id=words.convert_tokens_to_ids('<|media_end|>'),
    )
    images = tf.Kimi_K25ImageProcessor(max_patches=200)
    return save(
        folder,
        tf.Kimi_K25Processor(
            images,
            words,
            tf.Kimi_K25VideoProcessor(),
            chat_template=template('<|media_begin|><|media_pad|><|media_end|>'),
        ),
        tf.Kimi_K25ForConditionalGeneration,
        config,
    )


def save_molmo2(folder: Path) -> Path:
    """The overview, then crops that overlap: the processor says which patches make a token; rows end with tokens."""
    marks = [
        '<im_patch>',
        '<im_col>',
        '<im_start>',
        '<low_res_im_start>',
        '<frame_start>',
        '<im_end>',
        '<frame_end>',
        '<im_low>',
        '<|image|>',
        '<|video|>',
    ]
    words = tokenizer(folder, **{f'm{i}': m for i, m in enumerate(marks)})
    t = words.convert_tokens_to_ids
    config = tf.Molmo2Config(
        vision_config=dict(
            SIZES, num_key_value_heads=4, head_dim=8, image_size=[56, 56], patch_size=14, num_position_embeddings=16
        ),
        adapter_config=dict(
            vision_feature_layer=[-1],
            hidden_size=32,
            num_attention_heads=4,
            num_key_value_heads=4,
            head_dim=8,
            intermediate_size=64,
            text_hidden_size=32,
        ),
        text_config=dict(TEXT, head_dim=8, vocab_size=len(words) - len(marks), additional_vocab_size=len(marks) + 6),
        image_start_token_id=t('<im_start>'),
        low_res_image_start_token_id=t('<low_res_im_start>'),
        image_end_token_id=t('<im_end>'),
        image_patch_id=t('<im_patch>'),
        frame_start_token_id=t('<frame_start>'),
        frame_end_token_id=t('<frame_end>'),
    )
    images = tf.Molmo2ImageProcessor(size={'height': 56, 'width': 56}, max_crops=4, overlap_margins=[1, 1])
    return save(
        folder,
        tf.Molmo2Processor(images, tf.Molmo2VideoProcessor(), words, chat_template=template('<|image|>')),
        tf.Molmo2ForConditionalGeneration,
        config,
    )


def save_minicpmv4_6(folder: Path) -> Path:
    """Patches of the overview and its slices in one long row, 4 x 4 a token."""
    return minicpm(folder, 'MiniCPMV4_6')


def minicpm(folder: Path, name: str) -> Path:
    """MiniCPM-V by the name of its classes."""
    made = {part: getattr(tf, name + part) for part in ('Config', 'ForConditionalGeneration', 'Processor')}
    names = dict(
        image_token='<|image_pad|>',
        video_token='<|video_pad|>',
        image_start_token='<image>',
        image_end_token='</image>',
        slice_start_token='<slice>',
        slice_end_token='</slice>',
        image_id_start_token='<image_id>',
        image_id_end_token='</image_id>',
    )
    words = tokenizer(folder, **names)
    t = words.convert_tokens_to_ids
    config = made['Config'](
        vision_config=dict(SIZES, image_size=112, patch_size=14, insert_layer_id=0),
        text_config=dict(
            TEXT,
            model_type='qwen3_5_text',
            head_dim=16,
            vocab_size=len(words),
            **LINEAR_FIRST,
        ),
        insert_layer_id=0,
        image_size=112,
        image_token_id=t('<|image_pad|>'),
        video_token_id=t('<|video_pad|>'),
    )
    images = tf.MiniCPMV4_6ImageProcessor(scale_resolution=112, max_slice_nums=4)
    return save(
        folder,
        made['Processor'](images, tf.MiniCPMV4_6VideoProcessor(), words, chat_template=template('<|image_pad|>')),
        made['ForConditionalGeneration'],
        config,
    )
