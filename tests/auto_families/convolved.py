"""LMMs whose vision tower convolves."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import transformers as tf

from tests.auto_families.parts import TEXT, save, template, tokenizer

SPECIAL = {f'{end}o{kind}_token': f'<{end}o{kind}>' for end in 'be' for kind in 'ia'}


def save_gemma3n(folder: Path) -> Path:
    """Attention among convolutions, 4 x 4 tokens; layers of four streams of states, two of them with others' keys."""
    from timm.models._efficientnet_builder import decode_arch_def

    words = tokenizer(folder, image_token='<image>', audio_token='<audio>', **SPECIAL)
    blocks = ['uir_r1_a5_k5_s2_e4_c32', 'mqa_r1_k3_h2_s1_d16_c32', 'uir_r1_a0_k0_s1_e2_c32']
    stages = decode_arch_def([['er_r1_k3_s2_e4_c16'], ['uir_r1_a3_k5_s2_e4_c16'], ['uir_r1_a5_k5_s2_e4_c32'], blocks])
    tower = dict(block_args=stages, stem_size=16, msfa_output_resolution=4, layer_scale_init_value=0.5)
    vocabulary = len(words)
    config = tf.Gemma3nConfig(
        vision_config=dict(hidden_size=2048, vocab_size=8, vocab_offset=vocabulary, model_args=tower),
        audio_config=dict(
            hidden_size=32,
            vocab_size=8,
            vocab_offset=vocabulary + 8,
            conf_num_hidden_layers=1,
            conf_num_attention_heads=2,
            sscp_conv_channel_size=[8, 4],
        ),
        text_config=dict(
            TEXT,
            num_hidden_layers=4,
            num_kv_shared_layers=2,
            vocab_size=vocabulary + 16,
            vocab_size_per_layer_input=vocabulary,
            hidden_size_per_layer_input=8,
            head_dim=16,
            laurel_rank=4,
            sliding_window=24,
            layer_types=['sliding_attention', 'full_attention'] * 2,
            activation_sparsity_pattern=[0.5, 0.0, 0.0, 0.0],
        ),
        vision_soft_tokens_per_image=16,
        audio_soft_tokens_per_image=4,
        **{name.replace('token', 'token_id'): words.convert_tokens_to_ids(mark) for name, mark in SPECIAL.items()},
        image_token_id=words.convert_tokens_to_ids('<image>'),
        audio_token_id=words.convert_tokens_to_ids('<audio>'),
    )
    processor = tf.Gemma3nProcessor(
        tf.Gemma3nAudioFeatureExtractor(),
        tf.SiglipImageProcessorFast(size={'height': 128, 'width': 128}, do_normalize=False),
        words,
        chat_template=template('<image>'),
        audio_seq_length=4,
        image_seq_length=16,
    )

    def build(config: Any) -> Any:
        kept = deepcopy(tower)  # timm writes into what it is given
        made = tf.Gemma3nForConditionalGeneration(config)
        made.config.vision_config.model_args = kept
        return made

    return save(folder, processor, build, config)
