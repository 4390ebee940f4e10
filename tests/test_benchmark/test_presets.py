"""Presets have the dimensions they are named after; large ones are made where they will be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from flmm_plugin.benchmark.chatting import measure_chat
from flmm_plugin.benchmark.extract import extract
from flmm_plugin.benchmark.forward import captured, eager
from flmm_plugin.benchmark.inputs import make_inputs
from flmm_plugin.benchmark.presets import MASK_HEADS, PRESETS, SAM, Preset, RandomLlava, grid_for, preset_for
from flmm_plugin.benchmark.subject import PresetSubject
from flmm_plugin.benchmark.testing import measure_testing
from flmm_plugin.benchmark.training import build_models, make_samples, measure_training
from flmm_plugin.errors import UserError
from flmm_plugin.models.capture.hidden_states import find_decoder
from tests.pretend_cuda import pretend_cuda

LARGE = [name for name, preset in PRESETS.items() if preset.needs_gpu]
IN_PLACE = Preset(layers=2, heads=4, width=64, mlp_width=128, kv_heads=2, needs_gpu=True)
DEVICES = ['cpu', *(['cuda'] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize('name, billions, kv_heads', [('llava-1.5-7b', 6.74, 32), ('llava-next-7b', 7.24, 8)])
def test_large_language_models_have_their_true_dimensions(name: str, billions: float, kv_heads: int) -> None:
    preset = preset_for(name, 'meta')
    lmm = RandomLlava(preset, grid_for(700, 6), getattr(torch, preset.dtype), 'meta')
    text = lmm.config.text_config
    assert (lmm.num_layers, lmm.num_heads, text.num_key_value_heads, lmm.hidden_size) == (32, 32, kv_heads, 4096)
    modules = (find_decoder(lmm.model, text), lmm.model.get_output_embeddings())
    count = sum(p.numel() for module in modules for p in module.parameters())
    assert count / 1e9 == pytest.approx(billions, abs=0.01)
    assert sum(p.numel() for p in lmm.parameters()) - count < 0.02e9  # the vision tower and its projection
    assert {(p.dtype, p.device.type) for p in lmm.parameters()} == {(torch.bfloat16, 'meta')}


@pytest.mark.parametrize('name', LARGE)
def test_large_presets_have_the_papers_mask_head_and_sam(name: str) -> None:
    with torch.device('meta'):
        models = build_models(PresetSubject(name, device='meta'), 700, 6)
    for model in models:
        assert model.sam is not None
        assert sum(p.numel() for p in model.sam.parameters()) / 1e6 == pytest.approx(312.3, abs=0.1)  # SAM ViT-L
        first = next(model.mask_head.parameters())
        assert first.shape == (64, PRESETS[name].layers * PRESETS[name].heads, 3, 3) and first.dtype == torch.float32
    ours, original = (list(model.parameters()) for model in models)
    assert all(mine is theirs for mine, theirs in zip(ours, original, strict=True))


def test_what_a_preset_is_measured_in() -> None:
    assert {name: preset.dtype for name, preset in PRESETS.items()} == {
        'tiny': 'float32',
        'mid': 'float32',
        'llava-1.5-7b': 'bfloat16',
        'llava-next-7b': 'bfloat16',
        'tiny-qwen2.5-vl': 'float32',
        'qwen2.5-vl-7b': 'bfloat16',
    }


@pytest.mark.parametrize('name', LARGE)
@pytest.mark.parametrize('measure', [extract, measure_training, measure_testing, measure_chat])
def test_large_presets_are_refused_on_a_cpu(measure: Callable[..., object], name: str) -> None:
    with pytest.raises(UserError, match=rf'{name} needs a GPU .*--device cuda.* tiny, mid, tiny-qwen2.5-vl$'):
        measure(PresetSubject(name), [700])


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('dtype, tolerance', [(torch.float32, 1e-6), (torch.bfloat16, 1e-2)])
def test_weights_made_in_place(device: str, dtype: torch.dtype, tolerance: float) -> None:
    lmm = RandomLlava(IN_PLACE, grid_for(120, 3), dtype, device)
    assert torch.get_default_dtype() == torch.float32 and torch.empty(0).device.type == 'cpu'
    for parameter in lmm.parameters():
        assert parameter.dtype == dtype and parameter.device.type == device and not parameter.requires_grad
        assert parameter.isfinite().all()
    for name, parameter in find_decoder(lmm.model, lmm.config.text_config).named_parameters():
        assert name.endswith('norm.weight') or parameter.float().std().item() == pytest.approx(0.02, rel=0.1)
    sample = make_inputs(lmm, 120, 3)
    (ours,), (theirs,) = captured(lmm, [sample]).maps, eager(lmm, [sample]).maps
    assert ours is not None and theirs is not None
    torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=0)
    assert (ours > 0).all() and ours.std(dim=(-2, -1)).min() > 0


def test_small_presets_have_the_same_weights_wherever_they_go() -> None:
    first, second = (RandomLlava(PRESETS['tiny'], 8, device=torch.device(device)) for device in ('cpu', DEVICES[-1]))
    assert first.weights_hash() == second.weights_hash()
    assert RandomLlava(PRESETS['tiny'], 8, torch.bfloat16).model.dtype == torch.bfloat16


@pytest.mark.parametrize('name', [name for name in LARGE if PRESETS[name].family == 'llava'])
def test_presets_of_gpus_run_where_one_is(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As narrow as the tiny one, in their bf16, on what stands for a GPU: ours computes what the authors' way does."""
    kv_heads = PRESETS[name].kv_heads and 2
    narrow = replace(PRESETS[name], layers=2, heads=4, kv_heads=kv_heads, width=64, mlp_width=128)
    monkeypatch.setitem(PRESETS, name, narrow)
    for parts in (MASK_HEADS, SAM):
        monkeypatch.setitem(parts, name, parts['tiny'])
    with pretend_cuda():
        ours, original = build_models(PresetSubject(name, device='cuda:0'), 200, 6)
        sample = make_inputs(ours.lmm, 200, 6)
        found, expected = (way(ours.lmm, [sample]).maps[0] for way in (captured, eager))
        images, samples = make_samples(ours.lmm, 200, 6, batch=1)
        losses, singles = (model.loss(images, samples) for model in (ours, original))
    assert ours.lmm.model.dtype == torch.bfloat16 and found.device.type == 'cuda'
    torch.testing.assert_close(found.on_cpu, expected.on_cpu, atol=2**-13, rtol=2**-6)
    for loss, single in zip(losses.values(), singles.values(), strict=True):
        torch.testing.assert_close(loss.on_cpu, single.on_cpu, atol=0.02, rtol=0)
