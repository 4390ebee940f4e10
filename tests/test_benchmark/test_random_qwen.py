"""A Qwen2.5-VL with random weights, read by the processor that is made for it."""

from __future__ import annotations

import pytest
import torch
import transformers

from flmm_plugin.benchmark.inputs import image_tokens, make_inputs
from flmm_plugin.benchmark.presets import PRESETS
from flmm_plugin.benchmark.subject import PresetSubject
from flmm_plugin.doctor.certify import from_batch, from_eager, make_samples

pytestmark = pytest.mark.skipif(not hasattr(transformers, 'Qwen2_5_VLConfig'), reason='transformers has no Qwen2.5-VL')


def test_picture_takes_what_the_text_leaves() -> None:
    lmm = PresetSubject('tiny-qwen2.5-vl').lmm(200, 3)
    assert 0.75 * 11**2 <= image_tokens(lmm) <= 11**2
    sample = make_inputs(lmm, 200, 3)
    (grid,) = sample.grids
    assert len(sample.input_ids) == 200 and sample.num_phrases == 3
    assert grid.height < grid.width and grid.height * grid.width == image_tokens(lmm)


def test_captures_what_eager_attention_shows() -> None:
    lmm = PresetSubject('tiny-qwen2.5-vl').lmm(200, 3)
    samples = make_samples(lmm)
    assert from_eager(lmm, samples) < 1e-6 and from_batch(lmm, samples) < 1e-6


def test_dimensions_are_those_of_the_7b_model() -> None:
    with torch.device('meta'):
        lmm = PresetSubject('qwen2.5-vl-7b', device='meta').lmm(700, 6)
    assert PRESETS['qwen2.5-vl-7b'].dtype == 'bfloat16' and lmm.num_maps == 28 * 28
    assert sum(p.numel() for p in lmm.model.parameters()) / 1e9 == pytest.approx(8.29, abs=0.01)
