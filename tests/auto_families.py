"""Tiny random LMMs of today's families behind their real processors, for AutoLMM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers as tf
from transformers import PreTrainedTokenizerFast

from tests.tiny_lmms import SIZES, words

TEXT: dict[str, Any] = dict(SIZES, num_key_value_heads=2)


def template(image: str) -> str:
    """A chat template with a system prompt that writes ``image`` where the picture is."""
    return (
        "{% for message in messages %}{% if message['role'] == 'user' %}USER : "
        "{% for part in message['content'] %}{% if part['type'] == 'image' %}" + image + ' '
        "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% else %}"
        "{% for part in message['content'] %} {{ part['text'] }}{% endfor %}</s>{% endif %}{% endfor %}"
        '{% if add_generation_prompt %} ASSISTANT :{% endif %}'
    )


def tokenizer(folder: Path, **named: str) -> PreTrainedTokenizerFast:
    """The words of the tiny LLaVA and special tokens, by the name that a processor asks for them."""
    made = words(folder, extra_special_tokens=dict(named))
    made.add_special_tokens({'additional_special_tokens': ['<image>', *named.values()]})
    return made


def save(folder: Path, processor: Any, model: type, config: Any) -> Path:
    processor.save_pretrained(folder)
    torch.manual_seed(0)
    made = model(config)
    with torch.no_grad():
        for parameter in made.parameters():
            if not parameter.any():  # some projectors begin at zero
                parameter.normal_(std=0.1)
    made.save_pretrained(folder)
    return folder


def save_qwen2_5_vl(folder: Path) -> Path:
    """Cells of 28 pixels."""
    made = tokenizer(folder, vs='<|vision_start|>', ve='<|vision_end|>', pad='<|image_pad|>', video='<|video_pad|>')
    words_ = tf.Qwen2TokenizerFast(
        tokenizer_object=made._tokenizer, unk_token='<unk>', eos_token='</s>', pad_token='<pad>'
    )
    ids = {
        name: words_.convert_tokens_to_ids(f'<|{name}|>')
        for name in ('vision_start', 'vision_end', 'image_pad', 'video_pad')
    }
    images = tf.Qwen2VLImageProcessorFast(min_pixels=56 * 56, max_pixels=280 * 280)
    chat = template('<|vision_start|><|image_pad|><|vision_end|>')
    videos = tf.Qwen2VLVideoProcessor()
    config = tf.Qwen2_5_VLConfig(
        text_config=dict(TEXT, vocab_size=len(words_), rope_scaling={'type': 'mrope', 'mrope_section': [1, 1, 2]}),
        vision_config=dict(
            depth=2, hidden_size=32, out_hidden_size=32, num_heads=2, intermediate_size=32, fullatt_block_indexes=[1]
        ),
        image_token_id=ids['image_pad'],
        video_token_id=ids['video_pad'],
        vision_start_token_id=ids['vision_start'],
        vision_end_token_id=ids['vision_end'],
    )
    processor = tf.Qwen2_5_VLProcessor(images, words_, videos, chat_template=chat)
    return save(folder, processor, tf.Qwen2_5_VLForConditionalGeneration, config)


def save_internvl(folder: Path) -> Path:
    """Tiles of 56 pixels and an overview, 2 x 2 tokens each."""
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
    config = tf.InternVLConfig(
        vision_config=dict(SIZES, image_size=[56, 56], patch_size=[14, 14]),
        text_config=tf.Qwen2Config(**TEXT, vocab_size=len(words_)),
        image_token_id=words_.convert_tokens_to_ids('<IMG_CONTEXT>'),
        image_seq_length=4,
        downsample_ratio=0.5,
    )
    processor = tf.InternVLProcessor(
        images, words_, tf.InternVLVideoProcessor(), image_seq_length=4, chat_template=template('<IMG_CONTEXT>')
    )
    return save(folder, processor, tf.InternVLForConditionalGeneration, config)


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


def save_gemma3(folder: Path) -> Path:
    """One square of 64 pixels, 4 x 4 tokens, with tags around."""
    words_ = tokenizer(folder, boi_token='<start_of_image>', eoi_token='<end_of_image>', image_token='<image_soft>')
    images = tf.Gemma3ImageProcessorFast(size={'height': 64, 'width': 64})
    config = tf.Gemma3Config(
        vision_config=dict(SIZES, image_size=64, patch_size=8, vision_use_head=False),
        text_config=dict(TEXT, vocab_size=len(words_), head_dim=16, sliding_window=8, query_pre_attn_scalar=16),
        mm_tokens_per_image=16,
        boi_token_index=words_.convert_tokens_to_ids('<start_of_image>'),
        eoi_token_index=words_.convert_tokens_to_ids('<end_of_image>'),
        image_token_index=words_.convert_tokens_to_ids('<image_soft>'),
    )
    processor = tf.Gemma3Processor(images, words_, image_seq_length=16, chat_template=template('<start_of_image>'))
    return save(folder, processor, tf.Gemma3ForConditionalGeneration, config)


def save_qwen3_vl(folder: Path) -> Path:
    """Cells of 32 pixels, heads wider than the model."""
    made = tokenizer(folder, vs='<|vision_start|>', ve='<|vision_end|>', pad='<|image_pad|>', video='<|video_pad|>')
    words_ = tf.Qwen2TokenizerFast(
        tokenizer_object=made._tokenizer, unk_token='<unk>', eos_token='</s>', pad_token='<pad>'
    )
    rope = {'rope_type': 'default', 'mrope_section': [3, 3, 2], 'mrope_interleaved': True}
    vision = dict(depth=2, hidden_size=32, out_hidden_size=32, num_heads=2, intermediate_size=32)
    config = tf.Qwen3VLConfig(
        text_config=dict(TEXT, head_dim=16, vocab_size=len(words_), rope_scaling=rope),
        vision_config=dict(vision, deepstack_visual_indexes=[0]),
        image_token_id=words_.convert_tokens_to_ids('<|image_pad|>'),
        video_token_id=words_.convert_tokens_to_ids('<|video_pad|>'),
        vision_start_token_id=words_.convert_tokens_to_ids('<|vision_start|>'),
        vision_end_token_id=words_.convert_tokens_to_ids('<|vision_end|>'),
    )
    images = tf.Qwen2VLImageProcessorFast(patch_size=16, min_pixels=64 * 64, max_pixels=320 * 320)
    chat = template('<|vision_start|><|image_pad|><|vision_end|>')
    processor = tf.Qwen3VLProcessor(images, words_, tf.Qwen3VLVideoProcessor(), chat_template=chat)
    return save(folder, processor, tf.Qwen3VLForConditionalGeneration, config)


def save_mistral3(folder: Path) -> Path:
    """Cells of 16 pixels, of the picture's aspect; rows end with break tokens."""
    words_ = tokenizer(folder, row_end='[IMG_BREAK]', image_end='[IMG_END]', image='[IMG]')
    images = tf.PixtralImageProcessorFast(size={'longest_edge': 224}, patch_size={'height': 16, 'width': 16})
    config = tf.Mistral3Config(
        vision_config=tf.PixtralVisionConfig(**SIZES, image_size=224, patch_size=8),
        text_config=tf.MistralConfig(**TEXT, vocab_size=len(words_)),
        image_token_index=words_.convert_tokens_to_ids('[IMG]'),
        spatial_merge_size=2,
    )
    processor = tf.PixtralProcessor(images, words_, patch_size=8, spatial_merge_size=2, chat_template=template('[IMG]'))
    return save(folder, processor, tf.Mistral3ForConditionalGeneration, config)


FAMILIES = {
    name: maker
    for name, maker, needs in (
        ('qwen2_5_vl', save_qwen2_5_vl, 'Qwen2_5_VLProcessor'),
        ('internvl', save_internvl, 'InternVLProcessor'),
        ('llava_onevision', save_llava_onevision, 'LlavaOnevisionProcessor'),
        ('gemma3', save_gemma3, 'Gemma3Processor'),
        ('qwen3_vl', save_qwen3_vl, 'Qwen3VLProcessor'),
        ('mistral3', save_mistral3, 'Mistral3Config'),
    )
    if hasattr(tf, needs)
}
