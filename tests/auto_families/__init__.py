"""Tiny random LMMs of today's families behind their real processors, for AutoLMM.

Nothing is downloaded: tokenizers know the words of the tiny LLaVA.
"""

from __future__ import annotations

from importlib.util import find_spec

import transformers

from tests.auto_families import more_tiles, rotary, squares, tiles

# What saves one, for the families that this release of transformers has.
FAMILIES = {
    name: maker
    for name, maker, needs in (
        ('qwen2_vl', rotary.save_qwen2_vl, 'Qwen2VLProcessor'),
        ('qwen2_5_vl', rotary.save_qwen2_5_vl, 'Qwen2_5_VLProcessor'),
        ('qwen3_vl', rotary.save_qwen3_vl, 'Qwen3VLProcessor'),
        ('glm4v', rotary.save_glm4v, 'Glm4vMoeConfig'),  # before that its fast processor fails by itself
        ('mistral3', rotary.save_mistral3, 'Mistral3Config'),
        ('internvl', tiles.save_internvl, 'InternVLProcessor'),
        ('llava_onevision', tiles.save_llava_onevision, 'LlavaOnevisionProcessor'),
        ('idefics3', tiles.save_idefics3, 'Idefics3Processor'),
        ('cohere2_vision', tiles.save_cohere2_vision, 'Cohere2VisionProcessor'),
        ('lfm2_vl', tiles.save_lfm2_vl, 'Lfm2VlProcessor'),
        ('gemma3', squares.save_gemma3, 'Gemma3Processor'),
        ('paligemma', squares.save_paligemma, 'PaliGemmaProcessor'),
    )
    if hasattr(transformers, needs)
}

# Families whose layouts alone are tested.
MORE_FAMILIES = {
    name: maker
    for name, maker, needs in (
        ('aya_vision', more_tiles.save_aya_vision, 'AyaVisionProcessor'),
        ('llama4', more_tiles.save_llama4, 'Llama4Processor'),
        ('ovis2', more_tiles.save_ovis2, 'Ovis2Processor'),
        ('perception_lm', more_tiles.save_perception_lm, 'PerceptionLMProcessor'),
        ('llava_next', more_tiles.save_llava_next, 'LlavaNextImageProcessorFast'),
        ('smolvlm', more_tiles.save_smolvlm, 'SmolVLMProcessor'),
    )
    if hasattr(transformers, needs) and (name != 'smolvlm' or find_spec('num2words'))
}
