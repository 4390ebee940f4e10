"""LMMs whose words cannot be placed on a picture, told by their configs before anything is loaded."""

from __future__ import annotations

from typing import Any

from packaging.specifiers import SpecifierSet
from transformers import AutoModel, AutoModelForImageTextToText

from flmm_plugin.models.capture.layers import ATTENDING, STATES, layer_kinds
from flmm_plugin.models.lmms.compat import TRANSFORMERS

# What a config has if queries stand for the image: Q-Former, perceiver, Aria's projector, Kosmos-2's latent queries.
RESAMPLERS = (
    'qformer_config',
    'perceiver_config',
    'resampler_config',
    'projector_patch_to_query_dict',
    'latent_query_num',
)
# Faults of transformers' own that nobody can read such an LMM with, by its type: the releases, and what fails.
FAULTS = {'llama4': ('==5.24.*', "asks the text model's output for `image_outputs`, which it has not")}


def why_not(config: Any) -> str | None:
    """Why an LMM of this config cannot be grounded; None where nothing is known against it."""
    text = config.get_text_config()
    if getattr(config, 'is_encoder_decoder', False) or getattr(text, 'is_encoder_decoder', False):
        return 'an encoder reads the image and the text; no word attends to tokens of the image alone'
    if getattr(text, 'cross_attention_layers', None):
        return 'its text sees the image by cross-attention, which is not captured'
    encoder = getattr(getattr(config, 'vision_config', None), 'encoder_config', None)
    # DeepSeek-OCR 2 has a language model among its encoders, whose queries they are.
    if hasattr(encoder, 'vocab_size') or any(getattr(config, name, None) for name in RESAMPLERS):
        return 'the image is given as queries of a resampler, each of which looks at all of it: no token has a place'
    if getattr(text, 'attn_logit_softcapping', None):
        return 'its text caps the logits of attention (attn_logit_softcapping), which fast kernels leave out'
    if getattr(config, 'canvas_length', None):
        return 'it denoises blocks of words, which see each other before they are said: no word has one map'
    whole = AutoModelForImageTextToText._model_mapping[type(config)]
    if getattr(AutoModel._model_mapping.get(type(text), whole), '_supports_sdpa', None) is False:
        return "its attention is not transformers' SDPA (it has sinks, a bias, or code of its own) and is not captured"
    if not hasattr(text, 'num_hidden_layers'):
        return 'its config names no layers of a language model'
    sliding = getattr(text, 'num_sliding_attention_heads', None)
    if sliding is not None and sliding != text.num_attention_heads:
        return 'its layers have different numbers of attention heads, which is not captured'
    kinds = {*layer_kinds(text)}
    if not kinds <= {*ATTENDING, *STATES} or not kinds & {*ATTENDING}:
        return f'its text has layers of {", ".join(sorted(kinds - {*ATTENDING}))}, whose attention is not captured'
    releases, fault = FAULTS.get(config.model_type, ('==0', ''))
    if TRANSFORMERS in SpecifierSet(releases):
        return f'its own forward pass fails in transformers {TRANSFORMERS}: it {fault}; take another release'
    return None
