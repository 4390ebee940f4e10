"""Every family on a device: `FLMM_TEST_DEVICE=cuda pytest tests/test_models/test_conformance.py`, else the CPU.

In fp32 what is captured is what eager attention shows; in bf16 but for its rounding.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from flmm_plugin.doctor.certify import from_batch, from_branches, from_cache, from_eager, make_samples, sees_later
from flmm_plugin.models import lmms
from flmm_plugin.models.lmms import AutoLMM, FrozenLMM
from flmm_plugin.registry import MODELS
from tests.auto_families import FAMILIES as AUTO_FAMILIES
from tests.tiny_flmm import four_samples, tiny_flmm
from tests.tiny_lmms import FAMILIES

DEVICE = os.environ.get('FLMM_TEST_DEVICE', 'cpu')
#: How far attention may be off, of values that sum to at most 1.
LIMITS = {'float32': 1e-5, 'bfloat16': 1e-2}
CHECKS = (from_eager, from_batch, from_branches, from_cache, sees_later)
#: On the CPU test_families.py examines all of them in fp32.
AUTO = sorted(AUTO_FAMILIES if DEVICE != 'cpu' else AUTO_FAMILIES.keys() & {'internvl', 'qwen2_5_vl', 'gemma3'})


@pytest.fixture(scope='module')
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made: dict[str, Path] = {}
    for name in [*FAMILIES, *AUTO]:
        save = FAMILIES[name][0] if name in FAMILIES else AUTO_FAMILIES[name]
        made[name] = save(tmp_path_factory.mktemp(name))
    return made


def load(folders: dict[str, Path], name: str, dtype: str) -> FrozenLMM:
    if name in FAMILIES:
        return getattr(lmms, FAMILIES[name][1])(str(folders[name]), dtype=dtype).to(DEVICE)
    return AutoLMM(str(folders[name]), dtype=dtype, certify=False).to(DEVICE)


@pytest.mark.parametrize('dtype', LIMITS)
@pytest.mark.parametrize('name', [*FAMILIES, *AUTO])
def test_captured_attention(folders: dict[str, Path], name: str, dtype: str) -> None:
    lmm = load(folders, name, dtype)
    samples = make_samples(lmm)
    off = {check.__name__: check(lmm, samples) for check in CHECKS}
    assert {check: figure for check, figure in off.items() if figure > LIMITS[dtype]} == {}
    assert next(lmm.model.parameters()).device.type == torch.device(DEVICE).type


@pytest.mark.parametrize('dtype, limit', [('float32', 1e-3), ('bfloat16', 0.05)])
def test_a_training_step(folders: dict[str, Path], dtype: str, limit: float) -> None:
    """The losses of the CPU in fp32."""

    def losses(device: str, dtype: str) -> tuple[dict[str, float], torch.nn.Module]:
        torch.manual_seed(0)
        config = tiny_flmm(folders['llava'])
        model = MODELS.build({**config, 'lmm': {**config['lmm'], 'dtype': dtype}}).to(device).train()
        found = model(*four_samples(), mode='loss')
        model.parse_losses(found)[0].backward()
        return {name: value.item() for name, value in found.items() if 'loss' in name}, model

    expected, _ = losses('cpu', 'float32')
    found, model = losses(DEVICE, dtype)
    assert found == pytest.approx(expected, abs=limit)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.mask_head.parameters())
