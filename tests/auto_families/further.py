"""Further LMMs of one grid, for which nobody wrote a line of code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers as tf
from tokenizers.pre_tokenizers import ByteLevel

from tests.auto_families.parts import LINEAR_FIRST, TEXT, as_class, save, template, tokenizer
from tests.auto_families.rotary import MROPE_OF_16, QWEN_MARKS, TOWER, glm4v, qwen3_processor, qwen_ids, qwen_words
from tests.auto_families.tiles import internvl
from tests.tiny_llava import save_tiny_llava
from tests.tiny_lmms import SIZES

EXPERTS = dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16)


def save_qwen3_vl_moe(folder: Path) -> Path:
    """As Qwen3-VL, with experts."""
    words, ids = qwen_words(folder)
    config = tf.Qwen3VLMoeConfig(
        text_config=dict(TEXT, **EXPERTS, head_dim=16, vocab_size=len(words), rope_scaling=MROPE_OF_16),
        vision_config=dict(TOWER, deepstack_visual_indexes=[0]),
        **ids,
    )
    return save(folder, qwen3_processor(words), tf.Qwen3VLMoeForConditionalGeneration, config)


def save_qwen3_5(folder: Path) -> Path:
    """Linear attention before a layer of full attention."""
    return qwen3_5(folder, tf.Qwen3_5ForConditionalGeneration)


def save_qwen3_5_moe(folder: Path) -> Path:
    """As Qwen3.5, with experts."""
    return qwen3_5(folder, tf.Qwen3_5MoeForConditionalGeneration, **EXPERTS, shared_expert_intermediate_size=16)


def qwen_bytes(tokenizer: Any) -> Any:
    """A tokenizer of a class that knows bytes alone, with Qwen's marks."""
    words = tokenizer(vocab={byte: i for i, byte in enumerate(ByteLevel.alphabet())}, merges=[])
    words.add_special_tokens({'additional_special_tokens': list(QWEN_MARKS.values())})
    return words


def qwen3_5(folder: Path, model: Any, **text: Any) -> Path:
    """As Qwen3-VL, with linear attention before a layer of full attention; its tokenizer class knows bytes alone."""
    words = qwen_bytes(tf.Qwen3_5Tokenizer)
    ids = qwen_ids(words)
    config = model.config_class(
        text_config=dict(
            TEXT,
            **text,
            head_dim=16,
            vocab_size=len(words),
            **LINEAR_FIRST,
        ),
        vision_config=TOWER,
        **ids,
    )
    return save(folder, qwen3_processor(words), model, config)


def save_glm4v_moe(folder: Path) -> Path:
    """As GLM-4V, with experts in the second layer."""
    experts = dict(EXPERTS, n_routed_experts=4, n_shared_experts=1, first_k_dense_replace=1, n_group=1, topk_group=1)
    del experts['num_experts']
    return glm4v(folder, tf.Glm4vMoeForConditionalGeneration, **experts, head_dim=8)


def save_pixtral(folder: Path) -> Path:
    """Cells of 8 pixels, rows end with break tokens; LLaVA's class."""
    words = tokenizer(folder, row_end='[IMG_BREAK]', image_end='[IMG_END]', image='[IMG]')
    images = tf.PixtralImageProcessorFast(size={'longest_edge': 112}, patch_size={'height': 8, 'width': 8})
    config = tf.LlavaConfig(
        vision_config=tf.PixtralVisionConfig(**SIZES, image_size=112, patch_size=8),
        text_config=tf.MistralConfig(**TEXT, vocab_size=len(words)),
        image_token_index=words.convert_tokens_to_ids('[IMG]'),
        vision_feature_layer=-1,
        vision_feature_select_strategy='full',
    )
    processor = tf.PixtralProcessor(images, words, patch_size=8, chat_template=template('[IMG]'))
    return save(folder, processor, tf.LlavaForConditionalGeneration, config)


def save_vipllava(folder: Path) -> Path:
    """LLaVA with several layers of its tower."""
    processor = tf.AutoProcessor.from_pretrained(save_tiny_llava(folder / 'llava'))
    config = tf.VipLlavaConfig(
        vision_config=tf.CLIPVisionConfig(**SIZES, image_size=96, patch_size=8, projection_dim=32),
        text_config=tf.LlamaConfig(**TEXT, vocab_size=len(processor.tokenizer)),
        image_token_index=processor.tokenizer.convert_tokens_to_ids('<image>'),
        vision_feature_layers=[-1, -2],
    )
    return save(folder, processor, tf.VipLlavaForConditionalGeneration, config)


def save_janus(folder: Path) -> Path:
    """One square of 24 x 24 tokens."""
    words = tokenizer(
        folder, image_token='<image_placeholder>', boi_token='<begin_of_image>', eoi_token='<end_of_image>'
    )
    words = as_class(
        words,
        'LlamaTokenizerFast',
        image_token='<image_placeholder>',
        boi_token='<begin_of_image>',
        eoi_token='<end_of_image>',
    )
    images = tf.JanusImageProcessor(size={'height': 192, 'width': 192})
    config = tf.JanusConfig(
        vision_config=dict(
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            image_size=192,
            patch_size=8,
            mlp_ratio=2.0,
            projection_dim=32,
            num_image_tokens=576,
            depth=2,
        ),
        vq_config=dict(
            embed_dim=8,
            num_embeddings=16,
            base_channels=32,
            channel_multiplier=[1, 1],
            num_res_blocks=1,
            projection_dim=32,
            image_token_embed_dim=32,
            num_patches=8,
        ),
        text_config=tf.LlamaConfig(**TEXT, vocab_size=len(words)),
        image_token_id=words.convert_tokens_to_ids('<image_placeholder>'),
    )
    processor = tf.JanusProcessor(images, words, chat_template=template('<image_placeholder>'))
    return save(folder, processor, tf.JanusForConditionalGeneration, config)


def save_fast_vlm(folder: Path) -> Path:
    """A convolutional tower of timm."""
    words = tokenizer(folder)
    images = tf.CLIPImageProcessor(size={'shortest_edge': 256}, crop_size={'height': 256, 'width': 256})
    config = tf.FastVlmConfig(
        vision_config=tf.TimmWrapperConfig(
            architecture='fastvit_mci3',
            hidden_size=64,
            do_pooling=True,
            global_pool='avg',
            model_args=dict(
                inference_mode=True, layers=[1, 1, 1, 1, 1], embed_dims=[8, 8, 16, 32, 32], mlp_ratios=[2, 2, 2, 2, 2]
            ),
        ),
        text_config=tf.Qwen2Config(**TEXT, vocab_size=len(words)),
        image_token_index=words.convert_tokens_to_ids('<image>'),
    )
    processor = tf.LlavaProcessor(
        images,
        words,
        patch_size=64,
        vision_feature_select_strategy='default',
        num_additional_image_tokens=1,
        chat_template=template('<image>'),
    )
    return save(folder, processor, tf.FastVlmForConditionalGeneration, config)


def save_internvl_qwen3(folder: Path) -> Path:
    """InternVL 3.5: as InternVL, with heads wider than the model."""
    return internvl(folder, tf.Qwen3Config, **TEXT, head_dim=16)
