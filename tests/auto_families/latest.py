"""LMMs of the latest release."""

from __future__ import annotations

from pathlib import Path

import transformers as tf

from tests.auto_families.further import qwen_bytes
from tests.auto_families.newest import PIXELS
from tests.auto_families.packed import minicpm
from tests.auto_families.parts import TEXT, save, template, tokenizer
from tests.auto_families.rotary import MROPE_OF_16, QWEN_CHAT, TOWER, mistral3, qwen3_processor, qwen_ids, qwen_words
from tests.auto_families.tiles import internvl
from tests.tiny_lmms import SIZES


def save_hunyuan_vl(folder: Path) -> Path:
    """Cells of 32 pixels; rows end with a token that counts as the image's, as do one before and one after them."""
    words = tokenizer(folder, image_token='<image>', image_start_token='<im>', image_end_token='</im>')
    rope = dict(rope_type='default', rope_theta=10000.0, mrope_section=[1, 1, 1, 1])
    config = tf.HunYuanVLConfig(
        text_config=dict(TEXT, head_dim=8, vocab_size=len(words), rope_parameters=rope),
        vision_config=dict(SIZES, out_hidden_size=32, text_hidden_size=32, patch_size=16, max_image_size=320),
        image_token_id=words.convert_tokens_to_ids('<image>'),
        im_start_id=words.convert_tokens_to_ids('<im>'),
        im_end_id=words.convert_tokens_to_ids('</im>'),
        im_newline_id=0,
    )
    images = tf.HunYuanVLImageProcessor(size=dict(shortest_edge=64 * 64, longest_edge=320 * 320))
    processor = tf.HunYuanVLProcessor(images, words, chat_template=template('<im><image></im>'))
    return save(folder, processor, tf.HunYuanVLForConditionalGeneration, config)


def save_granite_docling(folder: Path) -> Path:
    """Tiles of 64 pixels, 2 x 2 tokens each, with tags; the overview last."""
    places = {f'p{row}{col}': f'<row_{row}_col_{col}>' for row in range(1, 7) for col in range(1, 7)}
    words = tokenizer(folder, around='<fake_token_around_image>', whole='<global-img>', **places)
    config = tf.GraniteDoclingConfig(
        vision_config=dict(
            SIZES, image_size=64, patch_size=8, out_hidden_size=32, scale_factor=4, deepstack_visual_indexes=[0]
        ),
        text_config=dict(TEXT, vocab_size=len(words), pad_token_id=words.pad_token_id),
        image_token_id=words.convert_tokens_to_ids('<image>'),
    )
    images = tf.GraniteDoclingImageProcessor(size={'height': 64, 'width': 64}, max_patches=6)
    processor = tf.GraniteDoclingProcessor(images, words, image_seq_len=4, chat_template=template('<image>'))
    return save(folder, processor, tf.GraniteDoclingForConditionalGeneration, config)


def save_lfm3_vl(folder: Path) -> Path:
    """Cells of 32 pixels; convolutions between layers of attention in the tower and in the text."""
    words, ids = qwen_words(folder)
    config = tf.Lfm3VlConfig(
        vision_config=dict(
            SIZES, num_key_value_heads=2, num_hidden_layers=2, layer_types=['conv', 'full_attention'], patch_size=16
        ),
        text_config=dict(
            TEXT,
            model_type='lfm3',
            num_hidden_layers=3,
            head_dim=16,
            vocab_size=len(words),
            sliding_window=24,
            layer_types=['sliding_attention', 'conv', 'full_attention'],
            pad_token_id=words.pad_token_id,
        ),
        projector_hidden_size=32,
        **ids,
    )
    images = tf.Qwen2VLImageProcessor(patch_size=16, size=PIXELS)
    processor = tf.Lfm3VlProcessor(images, words, tf.Qwen2VLVideoProcessor(patch_size=16), chat_template=QWEN_CHAT)
    return save(folder, processor, tf.Lfm3VlForConditionalGeneration, config)


def save_minimax_m3_vl(folder: Path) -> Path:
    """Cells of 28 pixels; experts; without the layers that choose what they attend to."""
    marks = [f']<]{mark}[>[' for mark in ('image', 'video', 'start of image', 'end of image')]
    words = tokenizer(folder, **{f'm{i}': mark for i, mark in enumerate(marks)})
    config = tf.MiniMaxM3VLConfig(
        vision_config=dict(SIZES, image_size=280, patch_size=14),
        text_config=dict(
            TEXT,
            vocab_size=len(words),
            head_dim=16,
            rotary_dim=8,
            num_local_experts=4,
            num_experts_per_tok=2,
            dense_intermediate_size=64,
            shared_intermediate_size=16,
            mlp_layer_types=['dense', 'sparse'],
            layer_types=['full_attention'] * 2,
        ),
        projector_hidden_size=32,
        image_token_index=words.convert_tokens_to_ids(marks[0]),
        video_token_index=words.convert_tokens_to_ids(marks[1]),
    )
    images = tf.MiniMaxM3VLImageProcessor(size=PIXELS)
    processor = tf.MiniMaxM3VLProcessor(images, words, tf.MiniMaxM3VLVideoProcessor(), chat_template=template(marks[0]))
    return save(folder, processor, tf.MiniMaxM3SparseForConditionalGeneration, config)


def save_mistral4(folder: Path) -> Path:
    """Mistral 3's pictures, latent keys and experts."""
    latent = dict(kv_lora_rank=16, q_lora_rank=16, qk_rope_head_dim=8, v_head_dim=8, qk_nope_head_dim=16)
    experts = dict(moe_intermediate_size=16, n_routed_experts=4, num_experts_per_tok=2)
    return mistral3(folder, tf.Mistral4Config, **{**TEXT, 'num_key_value_heads': 4}, **latent, **experts)


def save_qianfan_ocr(folder: Path) -> Path:
    """InternVL's pictures on Qwen3."""
    return internvl(folder, tf.Qwen3Config, 'QianfanOCR', **TEXT, head_dim=16)


def save_hyperclovax(folder: Path) -> Path:
    """Qwen2.5-VL's tower, plain positions."""
    words = qwen_bytes(tf.GPT2Tokenizer)
    ids = qwen_ids(words)
    config = tf.HyperCLOVAXVisionV2Config(
        text_config=dict(TEXT, model_type='hyperclovax', head_dim=8, vocab_size=len(words)),
        vision_config=dict(TOWER, model_type='qwen2_5_vl_vision', fullatt_block_indexes=[1]),
        image_token_id=ids['image_token_id'],
        video_token_id=ids['video_token_id'],
    )
    images = tf.Qwen2VLImageProcessor(min_pixels=56 * 56, max_pixels=280 * 280)
    processor = tf.HyperCLOVAXVisionV2Processor(images, words, tf.Qwen2VLVideoProcessor(), chat_template=QWEN_CHAT)
    return save(folder, processor, tf.HyperCLOVAXVisionV2ForConditionalGeneration, config)


def save_cosmos3_omni(folder: Path) -> Path:
    """As Qwen3-VL."""
    words, ids = qwen_words(folder)
    config = tf.Cosmos3OmniConfig(
        text_config=dict(TEXT, head_dim=16, vocab_size=len(words), rope_scaling=MROPE_OF_16),
        vision_config=dict(TOWER, deepstack_visual_indexes=[0]),
        **ids,
    )
    return save(folder, qwen3_processor(words), tf.Cosmos3OmniForConditionalGeneration, config)


def save_cosmos3_edge(folder: Path) -> Path:
    """Cells of 32 pixels."""
    words, ids = qwen_words(folder)
    rope = dict(rope_type='default', rope_theta=10000.0, mrope_section=[3, 3, 2])
    config = tf.Cosmos3EdgeConfig(
        text_config=dict(TEXT, head_dim=16, vocab_size=len(words), rope_parameters=rope),
        vision_config=dict(SIZES, num_patches=256),
        projector_hidden_size=32,
        **ids,
    )
    images = tf.Cosmos3EdgeImageProcessor(size=dict(shortest_edge=64 * 64, longest_edge=320 * 320))
    processor = tf.Cosmos3EdgeProcessor(images, words, tf.Cosmos3EdgeVideoProcessor(), chat_template=QWEN_CHAT)
    return save(folder, processor, tf.Cosmos3EdgeForConditionalGeneration, config)


def save_muse_glimmer(folder: Path) -> Path:
    """Cells of 28 pixels, windows in the tower; one head of keys."""
    marks = ('patch', 'image_start', 'image_end', 'video', 'vid_frame_separator', 'vid_start', 'vid_end')
    words = tokenizer(folder, **{mark: f'<|{mark}|>' for mark in marks})
    config = tf.MuseGlimmerConfig(
        text_config=dict(
            TEXT,
            num_key_value_heads=1,
            head_dim=16,
            vocab_size=len(words),
            sliding_window=24,
            layer_types=['sliding_attention', 'full_attention'],
            layer_rope_theta=[10000.0, 0],
        ),
        vision_config=dict(SIZES, layer_types=['window_attention', 'full_attention']),
        image_token_id=words.convert_tokens_to_ids('<|patch|>'),
        video_token_id=words.convert_tokens_to_ids('<|video|>'),
        out_hidden_size=128,
        projector_hidden_size=32,
    )
    images = tf.MuseGlimmerImageProcessor(max_image_tokens=100)
    processor = tf.MuseGlimmerProcessor(
        images, tf.MuseGlimmerVideoProcessor(), words, chat_template=template('<|patch|>')
    )
    return save(folder, processor, tf.MuseGlimmerForConditionalGeneration, config)


def save_minicpmv4_7(folder: Path) -> Path:
    """As MiniCPM-V 4.6, with positions of several axes."""
    return minicpm(folder, 'MiniCPMV4_7')
