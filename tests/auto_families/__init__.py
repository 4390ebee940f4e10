"""Tiny random LMMs of today's families behind their real processors, for AutoLMM.

Nothing is downloaded: tokenizers know the words of the tiny LLaVA.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import transformers

from flmm_plugin.models.lmms.compat import TRANSFORMERS
from tests.auto_families import (
    convolved,
    further,
    latest,
    more_tiles,
    newest,
    omni,
    others,
    packed,
    refused,
    rotary,
    squares,
    tiles,
)

Maker = Callable[[Path], Path]


def known(*families: tuple[str, Maker, str]) -> dict[str, Maker]:
    """What saves a family, by its name, for those that this release of transformers has."""
    return {name: maker for name, maker, needs in families if hasattr(transformers, needs)}


FAMILIES = known(
    ('qwen2_vl', rotary.save_qwen2_vl, 'Qwen2VLImageProcessorFast'),
    ('qwen2_5_vl', rotary.save_qwen2_5_vl, 'Qwen2_5_VLProcessor'),
    ('qwen3_vl', rotary.save_qwen3_vl, 'Qwen3VLProcessor'),
    ('glm4v', rotary.save_glm4v, 'Glm4vMoeConfig'),  # before that its fast processor fails by itself
    ('mistral3', rotary.save_mistral3, 'Mistral3Config'),
    ('internvl', tiles.save_internvl, 'InternVLProcessor'),
    ('llava_onevision', tiles.save_llava_onevision, 'LlavaOnevisionImageProcessorFast'),
    ('idefics3', tiles.save_idefics3, 'Idefics3Processor'),
    ('cohere2_vision', tiles.save_cohere2_vision, 'Cohere2VisionProcessor'),
    ('lfm2_vl', tiles.save_lfm2_vl, 'Lfm2VlProcessor'),
    ('gemma3', squares.save_gemma3, 'Gemma3Processor'),
    ('paligemma', squares.save_paligemma, 'SiglipImageProcessorFast'),
)
LLAMA4, FAULTY = ('llama4', more_tiles.save_llama4, 'Llama4Processor'), TRANSFORMERS.release[:2] == (5, 24)
# Tried after all of that was written, and found to work.
MORE_FAMILIES = known(
    ('aya_vision', more_tiles.save_aya_vision, 'AyaVisionProcessor'),
    *([] if FAULTY else [LLAMA4]),
    ('ovis2', more_tiles.save_ovis2, 'Ovis2Processor'),
    ('perception_lm', more_tiles.save_perception_lm, 'PerceptionLMProcessor'),
    ('llava_next', more_tiles.save_llava_next, 'LlavaNextImageProcessorFast'),
    *([('smolvlm', more_tiles.save_smolvlm, 'SmolVLMProcessor')] if find_spec('num2words') else []),
)
FURTHER = MORE_FAMILIES | known(
    ('qwen3_vl_moe', further.save_qwen3_vl_moe, 'Qwen3VLMoeConfig'),
    ('qwen3_5', further.save_qwen3_5, 'Qwen3_5Config'),
    ('qwen3_5_moe', further.save_qwen3_5_moe, 'Qwen3_5MoeConfig'),
    ('glm4v_moe', further.save_glm4v_moe, 'Glm4vMoeConfig'),
    ('pixtral', further.save_pixtral, 'PixtralProcessor'),
    ('vipllava', further.save_vipllava, 'VipLlavaConfig'),
    ('janus', further.save_janus, 'JanusProcessor'),
    ('fast_vlm', further.save_fast_vlm, 'FastVlmConfig'),
    ('internvl_qwen3', further.save_internvl_qwen3, 'InternVLProcessor'),
    ('gemma3n', convolved.save_gemma3n, 'Gemma3nConfig'),
    ('gemma4', others.save_gemma4, 'Gemma4Config'),
    ('glm46v', others.save_glm46v, 'Glm46VConfig'),
    ('lighton_ocr', others.save_lighton_ocr, 'LightOnOcrConfig'),
    ('video_llava', others.save_video_llava, 'FastVlmConfig'),  # earlier releases do not list it
    ('video_llama_3', newest.save_video_llama_3, 'VideoLlama3Config'),
    ('paddleocr_vl', newest.save_paddleocr_vl, 'PaddleOCRVLConfig'),
    ('ernie4_5_vl_moe', newest.save_ernie4_5_vl_moe, 'Ernie4_5_VLMoeConfig'),
    ('kimi_k25', packed.save_kimi_k25, 'Kimi_K25Config'),
    ('molmo2', packed.save_molmo2, 'Molmo2Config'),
    ('glm_ocr', newest.save_glm_ocr, 'GlmOcrConfig'),
    ('exaone4_5', newest.save_exaone4_5, 'Exaone4_5_Config'),
    ('minicpmv4_6', packed.save_minicpmv4_6, 'MiniCPMV4_6Config'),
    ('hunyuan_vl', latest.save_hunyuan_vl, 'HunYuanVLConfig'),
    ('granite_docling', latest.save_granite_docling, 'GraniteDoclingConfig'),
    ('lfm3_vl', latest.save_lfm3_vl, 'Lfm3VlConfig'),
    ('qwen2_5_omni', omni.save_qwen2_5_omni, 'FastVlmConfig'),  # earlier releases do not list it
    ('qwen3_omni', omni.save_qwen3_omni, 'FastVlmConfig'),
    ('minimax_m3_vl', latest.save_minimax_m3_vl, 'MiniMaxM3VLConfig'),
    ('mistral4', latest.save_mistral4, 'Mistral4Config'),
    ('gemma4_unified', omni.save_gemma4_unified, 'Gemma4UnifiedConfig'),
    ('nemotron_h_omni', omni.save_nemotron_h_omni, 'NemotronH_Omni_Reasoning_V3_Config'),
    ('qianfan_ocr', latest.save_qianfan_ocr, 'QianfanOCRConfig'),
    ('hyperclovax', latest.save_hyperclovax, 'HyperCLOVAXVisionV2Config'),
    ('cosmos3_omni', latest.save_cosmos3_omni, 'Cosmos3OmniConfig'),
    ('cosmos3_edge', latest.save_cosmos3_edge, 'Cosmos3EdgeConfig'),
    ('muse_glimmer', latest.save_muse_glimmer, 'MuseGlimmerConfig'),
    ('minicpmv4_7', latest.save_minicpmv4_7, 'MiniCPMV4_7Config'),
    ('llava_next_video', others.save_llava_next_video, 'LlavaNextVideoVideoProcessor'),
)
SHIPPED = ('tiny_llava', 'tiny_qwen') if 'qwen2_5_vl' in FAMILIES else ('tiny_llava',)
# Those that cannot be grounded.
REFUSED = known(
    ('paligemma2', refused.save_paligemma2, 'SiglipImageProcessorFast'),
    ('internvl_gpt_oss', refused.save_internvl_gpt_oss, 'GptOssConfig'),
    ('idefics2', refused.save_idefics2, 'Idefics2Processor'),
    ('aria', refused.save_aria, 'AriaProcessor'),
    ('blip2', refused.save_blip2, 'Blip2Processor'),
    ('mllama', refused.save_mllama, 'Gemma3Processor'),  # the first whose own processor takes a chat template
    ('florence2', refused.save_florence2, 'Florence2Processor'),
    *([LLAMA4] if FAULTY else []),
)
