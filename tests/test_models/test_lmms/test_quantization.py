"""An LMM quantised while it is loaded, where bitsandbytes is installed."""

from __future__ import annotations

import pytest

from flmm_plugin.models.weights.trained_state import check_lmm
from flmm_plugin.registry import MODELS
from tests.tiny_flmm import four_samples, tiny_flmm

pytest.importorskip('bitsandbytes', reason='bitsandbytes is not installed')


@pytest.mark.parametrize('how', ['load_in_8bit', 'load_in_4bit'])
def test_quantised_lmm_grounds_and_takes_any_checkpoint(how: str) -> None:
    config = tiny_flmm('flmm_plugin::tiny_llava')  # narrower layers cannot be packed into 4 bits
    whole = MODELS.build(config)
    model = MODELS.build({**config, 'lmm': {**config['lmm'], 'quantization': {how: True}}}).eval()
    names = {type(module).__name__ for module in model.lmm.modules()}
    assert names & {'Linear8bitLt', 'Linear4bit'}
    check_lmm(model, dict(meta=dict(lmm_fingerprint=whole.lmm_fingerprint())))
    images, samples = four_samples()
    for sample in model(images, samples, mode='predict'):
        assert len(sample.pred_instances.masks) == len(sample.segments) // 2
