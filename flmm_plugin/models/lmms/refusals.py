"""LMMs whose words cannot be placed on a picture, told by their configs before anything is loaded."""

from __future__ import annotations

from typing import Any

# What a config has if queries stand for the image: Q-Former, perceiver, Aria's projector.
RESAMPLERS = ('qformer_config', 'perceiver_config', 'resampler_config', 'projector_patch_to_query_dict')


def why_not(config: Any) -> str | None:
    """Why an LMM of this config cannot be grounded; None where nothing is known against it."""
    text = config.get_text_config()
    if getattr(config, 'is_encoder_decoder', False) or getattr(text, 'is_encoder_decoder', False):
        return 'an encoder reads the image and the text; no word attends to tokens of the image alone'
    if getattr(text, 'cross_attention_layers', None):
        return 'its text sees the image by cross-attention, which is not captured'
    if any(getattr(config, name, None) for name in RESAMPLERS):
        return 'the image is given as queries of a resampler, each of which looks at all of it: no token has a place'
    if getattr(text, 'attn_logit_softcapping', None):
        return 'its text caps the logits of attention (attn_logit_softcapping), which fast kernels leave out'
    return None
