"""Our step and the authors' single steps compute the same; timings are not judged."""

from __future__ import annotations

import pytest
import torch

from flmm_plugin.benchmark import training
from flmm_plugin.benchmark.subject import PresetSubject
from flmm_plugin.benchmark.training import build_models, losses_and_gradients, make_samples, measure_training, table
from flmm_plugin.errors import UserError
from flmm_plugin.models.flmm import FLMM
from tests.test_benchmark.conftest import WriteConfig

TINY = PresetSubject('tiny')
PARTS = ['data', 'LMM', 'U-Net', 'SAM encoder', 'SAM decoder', 'losses', 'backward', 'rest']


def test_both_ways_have_the_same_losses_and_gradients() -> None:
    torch.manual_seed(0)
    ours, original = build_models(TINY, 120, 3)
    images, samples = make_samples(ours.lmm, 120, 3, batch=2)
    assert not torch.equal(images[0], images[1])
    losses = losses_and_gradients(ours, images, samples)
    gradients = {name: p.grad.clone() for name, p in ours.named_parameters() if p.grad is not None}
    singles = []
    sums = {name: torch.zeros_like(gradient) for name, gradient in gradients.items()}
    for image, sample in zip(images, samples, strict=True):
        singles.append(losses_and_gradients(original, [image], [sample]))
        for name, parameter in original.named_parameters():
            if parameter.grad is not None:
                sums[name] += parameter.grad / 2
    assert list(losses) == ['loss_mask', 'loss_dice', 'sam_loss_mask', 'sam_loss_dice']
    for name, value in losses.items():
        torch.testing.assert_close(value, (singles[0][name] + singles[1][name]) / 2, atol=1e-4, rtol=0)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, sums[name], atol=1e-4, rtol=1e-3)


def test_result_says_what_was_measured() -> None:
    result = measure_training(TINY, [120], phrases=2, repeats=1, batch=2)
    (row,) = result['train']
    assert 'memory' not in result
    assert result['batch'] == 2 and row['tokens'] == 120 and row['max_difference'] < 1e-4
    assert row['speedup'] == row['seconds']['original'] / row['seconds']['ours']
    assert list(row['breakdown']) == PARTS
    assert sum(part['percent'] for part in row['breakdown'].values()) == pytest.approx(100)
    assert all(part['ms'] > 0 for part in row['breakdown'].values())
    assert len(table(result).splitlines()) == 3 + 3 + len(PARTS)


def test_both_ways_mix_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    mixed = []
    loss = FLMM.loss
    monkeypatch.setattr(FLMM, 'loss', lambda *args: mixed.append(torch.is_autocast_enabled('cpu')) or loss(*args))
    plain = measure_training(TINY, [60], phrases=1, repeats=1, batch=1)
    assert mixed and not any(mixed) and not plain['amp']
    mixed.clear()
    result = measure_training(TINY, [60], phrases=1, repeats=1, batch=1, amp=True)
    assert mixed and all(mixed) and result['amp']
    assert 0 < result['train'][0]['max_difference'] < 0.05


def test_model_without_a_refiner(write_config: WriteConfig) -> None:
    result = measure_training(write_config(refiner=None), phrases=2, repeats=1, batch=2)
    (row,) = result['train']
    assert row['max_difference'] < 1e-4
    assert list(row['breakdown']) == [part for part in PARTS if not part.startswith('SAM')]


def test_memory_of_further_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    updates = []
    monkeypatch.setattr(torch.optim.AdamW, 'step', lambda self: updates.append(len(self.param_groups[0]['params'])))
    result = measure_training(TINY, [60, 61], phrases=1, repeats=1, batch=1, steps=4)
    assert len(updates) == 4 and updates[0] > 10
    assert [row['tokens'] for row in result['train']] == [60, 61]
    memory = result['memory']
    assert (memory['steps'], memory['tokens']) == (4, 60)
    assert memory['growth_percent'] == 100 * (memory['bytes_after_all'] / memory['bytes_after_third'] - 1)
    assert table(result).splitlines()[-1].startswith('Memory over 4 steps of 60 tokens: ')


def test_ways_that_differ_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, 'LOSS_TOLERANCE', -1.0)
    with pytest.raises(UserError, match='losses of the two ways differ'):
        measure_training(TINY, [60], phrases=1, repeats=1, batch=1)
