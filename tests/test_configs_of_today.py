"""Configs of today's LMMs: each is built without weights, with the dimensions of its ``config.json``.

No hub was at hand. :data:`CONFIRMED` says in which public repository the dimensions were found again; those of
:data:`IN_PART` were found for a part of the model, all others are from memory. What stands against all of them here is
the number of parameters that the hub, or the model's name, states.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForImageTextToText

from flmm_plugin.models.capture.layers import attention_layers

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = {
    config.model.lmm.pretrained: (path, config)
    for path in sorted((ROOT / 'configs').glob('[!_]*/*unet-sam-l_8e*.py'))
    if (config := Config.fromfile(path)).model.lmm.type == 'AutoLMM'
}
GEMMA = 'google-deepmind/gemma, gemma/gm/nn'
CONFIRMED = {
    'Qwen/Qwen2.5-VL-3B-Instruct': 'its config.json, quoted in a model list',
    'Qwen/Qwen2.5-VL-7B-Instruct': 'acproject/duorou, docs/qwen2.5vl_graph.md: the model printed',
    'Qwen/Qwen3-VL-2B-Instruct': 'the model printed, with 2.13 B parameters',
    'Qwen/Qwen3-VL-4B-Instruct': 'the model printed',
    'Qwen/Qwen3-VL-8B-Instruct': 'the model printed',
    'OpenGVLab/InternVL3-1B-hf': 'shivangjhalani/multicoco, InternVL3-1B_data.md: config and model printed',
    'google/gemma-3-4b-it': f'{GEMMA}/_gemma.py, and the model printed',
    'google/gemma-3-12b-it': f'{GEMMA}/_gemma.py',
    'google/gemma-4-E2B-it': f'{GEMMA}/gemma4/_gemma4.py',
    'google/gemma-4-E4B-it': f'{GEMMA}/gemma4/_gemma4.py',
    'google/gemma-4-31B-it': f'{GEMMA}/gemma4/_gemma4.py',
    'Qwen/Qwen3.5-0.8B': 'its config.json and the model printed',
    'Qwen/Qwen3.5-27B': 'THUDM/slime, scripts/models/qwen3.5-27B.sh, and its text_config quoted',
}
IN_PART = {
    'HuggingFaceTB/SmolVLM2-500M-Video-Instruct': 'the model printed with half of its layers; SmolVLM-500M whole',
    'llava-hf/llava-onevision-qwen2-0.5b-ov-hf': "tower: transformers' conversion script; text: Qwen2-0.5B",
    'llava-hf/llava-onevision-qwen2-7b-ov-hf': "tower: transformers' conversion script",
    'zai-org/GLM-4.1V-9B-Thinking': "transformers' defaults, whose documentation names the checkpoint",
    'mistralai/Mistral-Small-3.1-24B-Instruct-2503': "transformers' defaults, whose documentation names the checkpoint",
}


def sizes(hidden: int, layers: int, heads: int, inner: int, **more: Any) -> dict[str, Any]:
    named = dict(hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=inner)
    return {**named, **more}


def qwen(hidden: int, layers: int, heads: int, groups: int, inner: int, vocab: int = 151936, **more: Any) -> dict:
    return sizes(hidden, layers, heads, inner, num_key_value_heads=groups, vocab_size=vocab, **more)


def qwen2_5_vl(text: dict[str, Any], tied: bool) -> tuple[str, dict[str, Any]]:
    rope = {'rope_type': 'default', 'type': 'mrope', 'mrope_section': [16, 24, 24]}
    vision = dict(depth=32, hidden_size=1280, intermediate_size=3420, num_heads=16, out_hidden_size=text['hidden_size'])
    text = dict(text, rope_scaling=rope, tie_word_embeddings=tied)
    return 'qwen2_5_vl', dict(text_config=text, vision_config=vision, tie_word_embeddings=tied)


def qwen3_vl(text: dict[str, Any], tower: tuple[int, int, int], tied: bool) -> tuple[str, dict[str, Any]]:
    depth, hidden, inner = tower
    vision = dict(depth=depth, hidden_size=hidden, intermediate_size=inner, out_hidden_size=text['hidden_size'])
    step = [5, 11, 17] if depth == 24 else [8, 16, 24]
    rope = {'rope_type': 'default', 'mrope_section': [24, 20, 20]}
    text = dict(text, head_dim=128, rope_scaling=rope, tie_word_embeddings=tied)
    vision = dict(vision, num_heads=16, deepstack_visual_indexes=step)
    return 'qwen3_vl', dict(text_config=text, vision_config=vision, tie_word_embeddings=tied)


def internvl(text: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    vision = sizes(1024, 24, 16, 4096, image_size=[448, 448], patch_size=[14, 14])
    text = dict(text, model_type='qwen2', tie_word_embeddings=False)
    return 'internvl', dict(text_config=text, vision_config=vision, tie_word_embeddings=False)


def smolvlm(text: dict[str, Any], vision: dict[str, Any], scale: int) -> tuple[str, dict[str, Any]]:
    text = dict(text, model_type='llama', tie_word_embeddings=False)
    return 'smolvlm', dict(text_config=text, vision_config=vision, scale_factor=scale, tie_word_embeddings=False)


def onevision(text: dict[str, Any], tied: bool) -> tuple[str, dict[str, Any]]:
    vision = sizes(1152, 26, 16, 4304, model_type='siglip_vision_model', image_size=384, patch_size=14)
    text = dict(text, model_type='qwen2', tie_word_embeddings=tied)
    vision['vision_use_head'] = False
    return 'llava_onevision', dict(text_config=text, vision_config=vision, tie_word_embeddings=tied)


def gemma3(text: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    vision = sizes(1152, 27, 16, 4304, image_size=896, patch_size=14, vision_use_head=False)
    return 'gemma3', dict(text_config=dict(text, head_dim=256, vocab_size=262208), vision_config=vision)


def gemma4(text: dict[str, Any], tower: dict[str, Any], hears: bool) -> tuple[str, dict[str, Any]]:
    text = dict(text, head_dim=256, vocab_size=262144)
    audio = dict(hidden_size=1024) if hears else None
    return 'gemma4', dict(text_config=text, vision_config=tower, audio_config=audio)


def qwen3_5(text: dict[str, Any], values: int, tower: tuple[int, int, int, int], tied: bool) -> tuple[str, dict]:
    """``values``: heads of the values of linear attention; ``tower``: depth, width, width of the MLP, heads."""
    depth, hidden, inner, heads = tower
    vision = dict(depth=depth, hidden_size=hidden, intermediate_size=inner, num_heads=heads)
    vision['out_hidden_size'] = text['hidden_size']
    text = dict(text, head_dim=256, linear_num_value_heads=values, tie_word_embeddings=tied)
    return 'qwen3_5', dict(text_config=text, vision_config=vision, tie_word_embeddings=tied)


def pattern(slides: int, layers: int) -> list[str]:
    """So many layers of sliding attention before each of full attention."""
    return ['full_attention' if i % (slides + 1) == slides else 'sliding_attention' for i in range(layers)]


SMALL_TOWER = sizes(768, 16, 12, 3072, num_key_value_heads=12, head_dim=64, use_clipped_linears=True)
LARGE_TOWER = sizes(1152, 27, 16, 4304, num_key_value_heads=16, head_dim=72, standardize=True)


#: hub name: class and dimensions, and parameters in units of 10^9
MODELS: dict[str, tuple[tuple[str, dict[str, Any]], float]] = {
    'Qwen/Qwen2.5-VL-3B-Instruct': (qwen2_5_vl(qwen(2048, 36, 16, 2, 11008), True), 3.75),
    'Qwen/Qwen2.5-VL-7B-Instruct': (qwen2_5_vl(qwen(3584, 28, 28, 4, 18944, 152064), False), 8.29),
    'Qwen/Qwen3-VL-2B-Instruct': (qwen3_vl(qwen(2048, 28, 16, 8, 6144), (24, 1024, 4096), True), 2.13),
    'Qwen/Qwen3-VL-4B-Instruct': (qwen3_vl(qwen(2560, 36, 32, 8, 9728), (24, 1024, 4096), True), 4.44),
    'Qwen/Qwen3-VL-8B-Instruct': (qwen3_vl(qwen(4096, 36, 32, 8, 12288), (27, 1152, 4304), False), 8.77),
    'OpenGVLab/InternVL3-1B-hf': (internvl(qwen(896, 24, 14, 2, 4864, 151674)), 0.94),
    'OpenGVLab/InternVL3-2B-hf': (internvl(qwen(1536, 28, 12, 2, 8960, 151674)), 2.09),
    'OpenGVLab/InternVL3-8B-hf': (internvl(qwen(3584, 28, 28, 4, 18944, 151674)), 7.94),
    'HuggingFaceTB/SmolVLM2-500M-Video-Instruct': (
        smolvlm(qwen(960, 32, 15, 5, 2560, 49280), sizes(768, 12, 12, 3072, image_size=512, patch_size=16), 4),
        0.51,
    ),
    'HuggingFaceTB/SmolVLM2-2.2B-Instruct': (
        smolvlm(qwen(2048, 24, 32, 32, 8192, 49280), sizes(1152, 27, 16, 4304, image_size=384, patch_size=14), 3),
        2.25,
    ),
    'llava-hf/llava-onevision-qwen2-0.5b-ov-hf': (onevision(qwen(896, 24, 14, 2, 4864, 152000), True), 0.89),
    'llava-hf/llava-onevision-qwen2-7b-ov-hf': (onevision(qwen(3584, 28, 28, 4, 18944, 152128), False), 8.03),
    'google/gemma-3-4b-it': (gemma3(sizes(2560, 34, 8, 10240, num_key_value_heads=4)), 4.30),
    'google/gemma-3-12b-it': (gemma3(sizes(3840, 48, 16, 15360, num_key_value_heads=8)), 12.19),
    'google/gemma-4-E2B-it': (
        gemma4(
            sizes(1536, 35, 8, 6144, num_key_value_heads=1, num_kv_shared_layers=20, use_double_wide_mlp=True)
            | dict(layer_types=pattern(4, 35)),
            SMALL_TOWER,
            hears=True,
        ),
        5.1,
    ),
    'google/gemma-4-E4B-it': (
        gemma4(
            sizes(2560, 42, 8, 10240, num_key_value_heads=2, num_kv_shared_layers=18)
            | dict(layer_types=pattern(5, 42)),
            SMALL_TOWER,
            hears=True,
        ),
        7.9,
    ),
    'google/gemma-4-31B-it': (
        gemma4(
            sizes(5376, 60, 32, 21504, num_key_value_heads=16, num_global_key_value_heads=4, attention_k_eq_v=True)
            | dict(layer_types=pattern(5, 60), hidden_size_per_layer_input=0, use_bidirectional_attention='vision'),
            LARGE_TOWER,
            hears=False,
        ),
        31.0,
    ),
    'Qwen/Qwen3.5-0.8B': (
        qwen3_5(qwen(1024, 24, 8, 2, 3584, 248320), 16, (12, 768, 3072, 12), True),
        0.873,
    ),
    'Qwen/Qwen3.5-27B': (qwen3_5(qwen(5120, 64, 24, 4, 17408, 248320), 48, (27, 1152, 4304, 16), False), 27.0),
    'zai-org/GLM-4.1V-9B-Thinking': (('glm4v', {}), 10.29),
    'mistralai/Mistral-Small-3.1-24B-Instruct-2503': (('mistral3', {}), 24.01),
}


def test_every_config_has_its_dimensions() -> None:
    assert set(CONFIGS) == set(MODELS) and set(MODELS) >= {*CONFIRMED, *IN_PART}


@pytest.mark.parametrize('name', MODELS)
def test_dimensions_give_the_parameters_and_maps_that_are_stated(name: str) -> None:
    (kind, dimensions), billions = MODELS[name]
    if kind not in CONFIG_MAPPING:
        pytest.skip(f'this release of transformers has no {kind}')
    path, config = CONFIGS[name]
    made = AutoConfig.for_model(kind, **dimensions)
    with torch.device('meta'):
        model = AutoModelForImageTextToText.from_config(made)
    rough = 0.03 if kind in ('gemma4', 'qwen3_5') else 0.01  # stated to two digits, or with a layer for drafts
    assert sum(parameter.numel() for parameter in model.parameters()) / 1e9 == pytest.approx(billions, rel=rough)
    layers, heads, grids, maps = re.search(
        r': (\d+) layers x (\d+) heads(?: x (\d) grids)? = ([\d,]+) maps', path.read_text()
    ).groups()
    text = model.config.get_text_config()
    assert (int(layers), int(heads)) == (len(attention_layers(text)), text.num_attention_heads)
    assert int(maps.replace(',', '')) == int(layers) * int(heads) * int(grids or 1)
    assert config.model.lmm.dtype == 'bfloat16'
