"""LMMs of the latest release that also hear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers as tf

from tests.auto_families.further import EXPERTS
from tests.auto_families.parts import TEXT, save, template, tokenizer
from tests.auto_families.rotary import MROPE_OF_16, TOWER

OMNI = {'vision_bos': '<|vision_bos|>', 'vision_eos': '<|vision_eos|>', 'audio_bos': '<|audio_bos|>'}
OMNI |= {'audio_eos': '<|audio_eos|>', 'image': '<|IMAGE|>', 'video': '<|VIDEO|>', 'audio': '<|AUDIO|>'}
SOUND = dict(d_model=32, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=32, output_dim=32)


def omni(folder: Path, name: str, ending: str, images: Any, vision: dict[str, Any], **text: Any) -> Path:
    """The thinker of one of Qwen's omni models: pictures beside sounds, which it is not given here."""
    words = tokenizer(folder, **{f'{what}_token': mark for what, mark in OMNI.items()})
    model = getattr(tf, f'{name}ThinkerForConditionalGeneration')
    config = model.config_class(
        audio_config=SOUND,
        vision_config=dict(TOWER, **vision),
        text_config=dict(TEXT, **text, vocab_size=len(words)),
        vision_start_token_id=words.convert_tokens_to_ids('<|vision_bos|>'),
        audio_start_token_id=words.convert_tokens_to_ids('<|audio_bos|>'),
        **{f'{what}_token_{ending}': words.convert_tokens_to_ids(OMNI[what]) for what in ('image', 'video', 'audio')},
    )
    chat = template('<|vision_bos|><|IMAGE|><|vision_eos|>')
    sounds = tf.WhisperFeatureExtractor()
    processor = getattr(tf, f'{name}Processor')(images, tf.Qwen2VLVideoProcessor(), sounds, words, chat_template=chat)
    return save(folder, processor, model, config)


def save_qwen2_5_omni(folder: Path) -> Path:
    """Pictures as Qwen2.5-VL."""
    images = tf.Qwen2VLImageProcessor(min_pixels=56 * 56, max_pixels=280 * 280)
    rope = dict(rope_type='default', rope_theta=10000.0, mrope_section=[1, 1, 2])
    return omni(folder, 'Qwen2_5Omni', 'index', images, dict(fullatt_block_indexes=[1]), rope_parameters=rope)


def save_qwen3_omni(folder: Path) -> Path:
    """Pictures as Qwen3-VL-MoE."""
    images = tf.Qwen2VLImageProcessor(patch_size=16, min_pixels=64 * 64, max_pixels=320 * 320)
    vision = dict(deepstack_visual_indexes=[0])
    rope = {**MROPE_OF_16, 'rope_theta': 10000.0}
    return omni(folder, 'Qwen3OmniMoe', 'id', images, vision, **EXPERTS, head_dim=16, rope_parameters=rope)


def save_gemma4_unified(folder: Path) -> Path:
    """Cells of 12 pixels without a tower: patches are projected."""
    marks = {f'{end}o{kind}_token': f'<{end}o{kind}>' for end in 'be' for kind in 'ia'}
    words = tokenizer(folder, image_token='<image>', audio_token='<audio>', **marks)
    sizes = dict(patch_size=4, pooling_kernel_size=3)
    config = tf.Gemma4UnifiedConfig(
        vision_config=dict(sizes, mm_embed_dim=32, mm_posemb_size=64, output_proj_dims=32),
        text_config=dict(
            TEXT,
            vocab_size=len(words) + 1,
            head_dim=16,
            global_head_dim=32,
            sliding_window=24,
            layer_types=['sliding_attention', 'full_attention'],
        ),
        audio_config=None,
        **{name.replace('token', 'token_id'): words.convert_tokens_to_ids(mark) for name, mark in marks.items()},
        image_token_id=words.convert_tokens_to_ids('<image>'),
        audio_token_id=words.convert_tokens_to_ids('<audio>'),
        video_token_id=len(words),
    )
    processor = tf.Gemma4UnifiedProcessor(
        tf.Gemma4UnifiedAudioFeatureExtractor(),
        tf.Gemma4UnifiedImageProcessor(**sizes, max_soft_tokens=70),
        words,
        tf.Gemma4UnifiedVideoProcessor(**sizes),
        chat_template=template('<image>'),
        image_seq_length=70,
    )
    return save(folder, processor, tf.Gemma4UnifiedForConditionalGeneration, config)


def save_nemotron_h_omni(folder: Path) -> Path:
    """Cells of 32 pixels; a layer of attention among Mamba's and experts."""
    marks = dict(image_token='<image>', video_token='<video>', audio_token='<so_embedding>')
    words = tokenizer(
        folder, **marks, image_start_token='<img>', image_end_token='</img>', a='<so_start>', b='<so_end>'
    )
    config = tf.NemotronH_Omni_Reasoning_V3_Config(
        vision_config=dict(
            model_type='radio',
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_img_size=320,
            mlp_ratio=2.0,
            video_temporal_patch_size=2,
        ),
        text_config=dict(
            model_type='nemotron_h',
            vocab_size=len(words),
            hidden_size=32,
            layers_block_type=['linear_attention', 'full_attention', 'moe', 'full_attention'],
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=16,
            intermediate_size=64,
            ssm_state_size=8,
            mamba_num_heads=4,
            mamba_head_dim=16,
            n_groups=2,
            moe_intermediate_size=16,
            moe_shared_expert_intermediate_size=16,
        ),
        vision_hidden_size=32,
        projector_hidden_size=32,
        image_token_id=words.convert_tokens_to_ids('<image>'),
        video_token_id=words.convert_tokens_to_ids('<video>'),
    )
    images = tf.NemotronH_Omni_Reasoning_V3ImageProcessor(min_num_patches=16, max_num_patches=400)
    processor = tf.NemotronH_Omni_Reasoning_V3Processor(
        images,
        tf.NemotronH_Omni_Reasoning_V3VideoProcessor(),
        words,
        tf.ParakeetFeatureExtractor(),
        chat_template=template('<image>'),
    )
    return save(folder, processor, tf.NemotronH_Omni_Reasoning_V3, config)
