"""LMMs of other makes: discrete image tokens, layers that share keys, towers that convolve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers as tf

from tests.auto_families.parts import TEXT, as_class, save, template, tokenizer
from tests.auto_families.rotary import glm4v
from tests.tiny_lmms import PINPOINTS, SIZES

CLIP: dict[str, Any] = dict(SIZES, image_size=56, patch_size=14, projection_dim=32)


def save_gemma4(folder: Path) -> Path:
    """Cells of 12 pixels, 3 x 3 patches each, of the picture's aspect; layers of two widths, two with others' keys."""
    marks = {f'{end}o{kind}_token': f'<{end}o{kind}>' for end in 'be' for kind in 'ia'}
    words = tokenizer(folder, image_token='<image>', audio_token='<audio>', **marks)
    sizes = dict(patch_size=4, pooling_kernel_size=3)
    config = tf.Gemma4Config(
        vision_config=dict(SIZES, **sizes, num_key_value_heads=4, head_dim=8, position_embedding_size=64),
        text_config=dict(
            TEXT,
            num_hidden_layers=4,
            vocab_size=len(words) + 1,
            vocab_size_per_layer_input=len(words) + 1,
            hidden_size_per_layer_input=8,
            head_dim=16,
            global_head_dim=32,
            sliding_window=24,
            layer_types=['sliding_attention', 'full_attention'] * 2,
            num_kv_shared_layers=2,
        ),
        audio_config=None,
        **{name.replace('token', 'token_id'): words.convert_tokens_to_ids(mark) for name, mark in marks.items()},
        image_token_id=words.convert_tokens_to_ids('<image>'),
        audio_token_id=words.convert_tokens_to_ids('<audio>'),
        video_token_id=len(words),
    )
    processor = tf.Gemma4Processor(
        tf.Gemma4AudioFeatureExtractor(),
        tf.Gemma4ImageProcessor(**sizes, max_soft_tokens=70),
        words,
        tf.Gemma4VideoProcessor(**sizes),
        chat_template=template('<image>'),
        image_seq_length=70,
    )
    return save(folder, processor, tf.Gemma4ForConditionalGeneration, config)


def save_glm46v(folder: Path) -> Path:
    """As GLM-4V."""
    return glm4v(folder, tf.Glm46VForConditionalGeneration)


def save_lighton_ocr(folder: Path) -> Path:
    """Pixtral's tower, 2 x 2 patches a token."""
    words = tokenizer(folder, image_token='<image>', image_break_token='<break>', image_end_token='<end>')
    config = tf.LightOnOcrConfig(
        vision_config=tf.PixtralVisionConfig(**SIZES, image_size=224, patch_size=8),
        text_config=tf.Qwen3Config(**TEXT, head_dim=16, vocab_size=len(words)),
        image_token_id=words.convert_tokens_to_ids('<image>'),
    )
    images = tf.PixtralImageProcessor(size={'longest_edge': 224}, patch_size={'height': 16, 'width': 16})
    processor = tf.LightOnOcrProcessor(images, words, patch_size=8, chat_template=template('<image>'))
    return save(folder, processor, tf.LightOnOcrForConditionalGeneration, config)


def save_video_llava(folder: Path) -> Path:
    """A square for pictures, beside a tower for videos."""
    words = tokenizer(folder, image_token='<image>', video_token='<video>')
    size = {'height': 56, 'width': 56}
    config = tf.VideoLlavaConfig(
        vision_config=tf.CLIPVisionConfig(**CLIP),
        text_config=tf.LlamaConfig(**TEXT, vocab_size=len(words)),
        image_token_index=words.convert_tokens_to_ids('<image>'),
        video_token_index=words.convert_tokens_to_ids('<video>'),
    )
    images = tf.VideoLlavaImageProcessor(size={'shortest_edge': 56}, crop_size=size)
    processor = tf.VideoLlavaProcessor(
        images, tf.VideoLlavaVideoProcessor(), words, patch_size=14, chat_template=template('<image>')
    )
    return save(folder, processor, tf.VideoLlavaForConditionalGeneration, config)


def save_llava_next_video(folder: Path) -> Path:
    """Pictures as LLaVA-NeXT."""
    marks = dict(image_token='<image>', video_token='<video>')
    words = as_class(tokenizer(folder, **marks), 'LlamaTokenizerFast', **marks)
    size, pinpoints = {'height': 56, 'width': 56}, [[h * 7 // 4, w * 7 // 4] for h, w in PINPOINTS]
    config = tf.LlavaNextVideoConfig(
        vision_config=tf.CLIPVisionConfig(**CLIP),
        text_config=tf.LlamaConfig(**TEXT, vocab_size=len(words)),
        image_token_index=words.convert_tokens_to_ids('<image>'),
        video_token_index=words.convert_tokens_to_ids('<video>'),
        image_grid_pinpoints=pinpoints,
        vision_feature_layer=-1,
    )
    processor = tf.LlavaNextVideoProcessor(
        tf.LlavaNextVideoVideoProcessor(),
        tf.LlavaNextImageProcessorFast(size={'shortest_edge': 56}, crop_size=size, image_grid_pinpoints=pinpoints),
        words,
        patch_size=14,
        vision_feature_select_strategy='default',
        num_additional_image_tokens=1,
        chat_template=template('<image>'),
    )
    return save(folder, processor, tf.LlavaNextVideoForConditionalGeneration, config)


def save_got_ocr2(folder: Path) -> Path:
    """SAM's tower, whose windows do not attend by SDPA, and convolutions."""
    words = tokenizer(folder, image='<imgpad>', start='<img>', end='</img>')
    config = tf.GotOcr2Config(
        vision_config=dict(
            hidden_size=32,
            output_channels=16,
            num_hidden_layers=2,
            num_attention_heads=4,
            image_size=256,
            patch_size=16,
            window_size=4,
            global_attn_indexes=[1],
            mlp_dim=32,
            initializer_range=0.02,
        ),
        text_config=dict(TEXT, model_type='qwen2', vocab_size=len(words)),
        image_token_index=words.convert_tokens_to_ids('<imgpad>'),
        image_seq_length=16,
    )
    images = tf.GotOcr2ImageProcessorFast(size={'height': 256, 'width': 256})
    processor = tf.GotOcr2Processor(images, words, chat_template=template('<img>' + '<imgpad>' * 16 + '</img>'))
    return save(folder, processor, tf.GotOcr2ForConditionalGeneration, config)


VQ: dict[str, Any] = dict(embed_dim=4, latent_channels=4, base_channels=32, num_res_blocks=1)


def save_chameleon(folder: Path) -> Path:
    """A square of 8 x 8 tokens of a code book."""
    codes = {f'IMGIMG{chr(65 + i // 10)}{chr(65 + i % 10)}Z': i for i in range(32)}
    words = tokenizer(folder, image_token='<image>', boi_token='<boi>', eoi_token='<eoi>', sep_token='<sep>')
    words.add_tokens(list(codes))
    config = tf.ChameleonConfig(
        **TEXT,
        vocab_size=len(words),
        vocabulary_map={word: words.convert_tokens_to_ids(word) for word in ('<image>', *codes)},
        vq_config=dict(VQ, num_embeddings=32, resolution=64, channel_multiplier=[1, 1, 1, 1]),
    )
    images = tf.ChameleonImageProcessor(size={'shortest_edge': 64}, crop_size={'height': 64, 'width': 64})
    processor = tf.ChameleonProcessor(images, words, image_seq_length=64)
    processor.chat_template = template('<image>')
    return save(folder, processor, tf.ChameleonForConditionalGeneration, config)


def save_emu3(folder: Path) -> Path:
    """Tokens of a code book, 8 pixels each, of the picture's aspect; rows end with one that counts as the image's."""
    codes = [f'<|visual token {i:06d}|>' for i in range(32)]
    marks = dict(boi_token='<boi>', eoi_token='<eoi>', image_wrapper_token='<wrap>', eof_token='<eof>')
    words = tokenizer(folder, image_token='<image>', end_of_line='<|extra_200|>', **marks)
    words.add_tokens([*codes, '*', *map(str, range(2, 40))])
    known = ('<image>', '<|extra_200|>', *codes)
    config = tf.Emu3Config(
        text_config=dict(TEXT, vocab_size=len(words), pad_token_id=words.pad_token_id),
        vocabulary_map={word: words.convert_tokens_to_ids(word) for word in known},
        vq_config=dict(VQ, codebook_size=32, channel_multiplier=[1, 1, 1, 1], hidden_size=32, attn_resolutions=[]),
    )
    images = tf.Emu3ImageProcessor(min_pixels=64 * 64, max_pixels=128 * 128)
    processor = tf.Emu3Processor(images, words, chat_template=template('<image>'))
    return save(folder, processor, tf.Emu3ForConditionalGeneration, config)
