"""LMMs that cannot be grounded are refused when they are loaded, with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import CONFIG_MAPPING

from flmm_plugin.errors import UserError
from flmm_plugin.models.lmms import AutoLMM
from flmm_plugin.models.lmms.refusals import why_not
from tests.auto_families import REFUSED

REASONS = dict(
    paligemma2='caps the logits of attention',
    internvl_gpt_oss='sinks',
    idefics2='queries of a resampler',
    aria='queries of a resampler',
    blip2='queries of a resampler',
    mllama='cross-attention',
    florence2='an encoder reads the image',
    llama4='its own forward pass fails',
)
#: What is said of the types of transformers' image-text models that no picture is needed to refuse.
TYPES = {
    **dict.fromkeys(('florence2', 'pix2struct', 'pp_formulanet', 't5gemma2', 'udop'), 'an encoder reads the image'),
    **dict.fromkeys(('aria', 'blip-2', 'granite4_vision', 'idefics', 'idefics2'), 'queries of a resampler'),
    **dict.fromkeys(
        ('instructblip', 'instructblipvideo', 'kosmos-2', 'kosmos-2.5', 'deepseek_ocr2'), 'queries of a resampler'
    ),
    **dict.fromkeys(('blip', 'git', 'hy_v4_vl', 'inkling2', 'inkling2_loop'), 'SDPA'),
    **dict.fromkeys(('dots3_note', 'glm5_next', 'mistral_large4', 'qwen4_exp'), 'whose attention is not captured'),
    'unlimited_ocr': 'reference_sliding_attention',
    'inkling_mm_model': 'hybrid_sliding',
    'pi0': 'no layers',
    'diffusion_gemma': 'denoises blocks of words',
    'mllama': 'cross-attention',
}


@pytest.mark.parametrize('family', sorted(REFUSED))
def test_reason_is_given_when_it_is_loaded(family: str, tmp_path: Path) -> None:
    folder = REFUSED[family](tmp_path)
    with pytest.raises(UserError, match=REASONS[family]):
        AutoLMM(str(folder), certify=False)


@pytest.mark.parametrize('kind', sorted(kind for kind in TYPES if kind in CONFIG_MAPPING))
def test_config_alone_tells_why(kind: str) -> None:
    assert TYPES[kind] in (why_not(CONFIG_MAPPING[kind]()) or '')


@pytest.mark.skipif('step3p7' not in CONFIG_MAPPING, reason='a newer transformers has it')
def test_layers_of_different_numbers_of_heads():
    config = CONFIG_MAPPING['step3p7'](text_config=dict(num_attention_heads=64, num_sliding_attention_heads=96))
    assert 'different numbers of attention heads' in (why_not(config) or '')
