"""LMMs that cannot be grounded are refused when they are loaded, with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from flmm_plugin.errors import UserError
from flmm_plugin.models.lmms import AutoLMM
from tests.auto_families import REFUSED

REASONS = dict(
    paligemma2='caps the logits of attention',
    internvl_gpt_oss='sinks',
    idefics2='queries of a resampler',
    aria='queries of a resampler',
    blip2='queries of a resampler',
    mllama='cross-attention',
    florence2='an encoder reads the image',
)


@pytest.mark.parametrize('family', sorted(REFUSED))
def test_reason_is_given_when_it_is_loaded(family: str, tmp_path: Path) -> None:
    folder = REFUSED[family](tmp_path)
    with pytest.raises(UserError, match=REASONS[family]):
        AutoLMM(str(folder), certify=False)
