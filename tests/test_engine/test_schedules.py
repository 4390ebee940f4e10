"""Every scheduler of MMEngine goes on at the same share of the whole when an epoch has another number of batches."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import PARAM_SCHEDULERS

from flmm_plugin.engine.schedules import stretch_schedules

EPOCHS, DONE, BEFORE = 8, 3, 4
WHOLE = EPOCHS * BEFORE

#: The arguments of a schedule over the whole run, in epochs; those by iteration are BEFORE times as long.
KINDS: dict[str, dict[str, Any]] = {
    'ConstantLR': dict(factor=0.5, begin=0, end=4),
    'LinearLR': dict(start_factor=0.1, begin=0, end=8),
    'CosineAnnealingLR': dict(eta_min=0.01, begin=1, end=8),
    'ExponentialLR': dict(gamma=0.8),
    'StepLR': dict(step_size=2, gamma=0.5),
    'MultiStepLR': dict(milestones=[2, 5], gamma=0.1),
    'PolyLR': dict(power=2.0, eta_min=0.001, end=8),
    'OneCycleLR': dict(eta_max=1.0, total_steps=8),
    'CosineRestartLR': dict(periods=[4, 4], restart_weights=[1, 0.5], eta_min=0.01),
    'LinearMomentum': dict(start_factor=0.5, end=8),
    'CosineAnnealingMomentum': dict(eta_min=0.1, T_max=8),
}


def by_iteration(kind: str, batches: int) -> dict[str, Any]:
    arguments = dict(KINDS[kind])
    for name in ('begin', 'end', 'step_size', 'total_steps', 'T_max'):
        if name in arguments:
            arguments[name] *= batches
    for name in ('milestones', 'periods'):
        if name in arguments:
            arguments[name] = [place * batches for place in arguments[name]]
    if kind == 'ExponentialLR':
        arguments['gamma'] **= 1 / batches
    return dict(type=kind, by_epoch=False, **arguments)


def run_of(config: Any, batches: int, defaults: Any = torch.optim.AdamW) -> SimpleNamespace:
    configs = config if isinstance(config, list) else [config]
    optimizer = OptimWrapper(defaults([torch.nn.Parameter(torch.zeros(2))], lr=0.1))
    made = [
        PARAM_SCHEDULERS.build(dict(one), default_args=dict(optimizer=optimizer, epoch_length=batches))
        for one in configs
    ]
    optimizer._global_step = 0
    return SimpleNamespace(
        cfg=dict(param_scheduler=config), param_schedulers=made, optim_wrapper=optimizer, max_epochs=EPOCHS
    )


def values(run: SimpleNamespace) -> tuple[float, ...]:
    group = run.optim_wrapper.param_groups[0]
    return (group['lr'], *group['betas'])


def train(run: SimpleNamespace, batches: int, epochs: int) -> list[tuple[float, ...]]:
    """The values that each iteration is trained with."""
    told = []
    for _ in range(epochs):
        for _ in range(batches):
            told.append(values(run))
            for scheduler in run.param_schedulers:
                if not scheduler.by_epoch:
                    scheduler.step()
        for scheduler in run.param_schedulers:
            if scheduler.by_epoch:
                scheduler.step()
    return told


@pytest.mark.parametrize('batches', [12, 2, 3])
@pytest.mark.parametrize('kind', KINDS)
def test_by_iteration(kind: str, batches: int) -> None:
    whole = train(run_of(by_iteration(kind, batches), batches), batches, EPOCHS)
    run = run_of(by_iteration(kind, BEFORE), BEFORE)
    train(run, BEFORE, DONE)
    stretch_schedules(run, run.cfg['param_scheduler'], BEFORE, batches, DONE)
    rest = train(run, batches, EPOCHS - DONE)
    torch.testing.assert_close(torch.tensor(rest), torch.tensor(whole[DONE * batches :]), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize('kind', KINDS)
def test_a_config_that_counts_the_new_batches(kind: str) -> None:
    """Whoever resumes a run may have written the number of iterations anew; and batches may change again."""
    whole = train(run_of(by_iteration(kind, 12), 12), 12, EPOCHS)
    run = run_of(by_iteration(kind, BEFORE), BEFORE)
    train(run, BEFORE, 1)
    stretch_schedules(run, by_iteration(kind, 2), BEFORE, 2, 1, first=BEFORE)
    train(run, 2, DONE - 1)
    stretch_schedules(run, by_iteration(kind, BEFORE), 2, 12, DONE, first=BEFORE)
    rest = train(run, 12, EPOCHS - DONE)
    torch.testing.assert_close(torch.tensor(rest), torch.tensor(whole[DONE * 12 :]), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize('kind', KINDS)
def test_a_checkpoint_of_it_loads(kind: str, tmp_path: Path) -> None:
    run = run_of(by_iteration(kind, BEFORE), BEFORE)
    train(run, BEFORE, 1)
    torch.save(run.param_schedulers[0].state_dict(), tmp_path / 'state.pth')
    again = run_of(by_iteration(kind, BEFORE), BEFORE)
    again.param_schedulers[0].load_state_dict(torch.load(tmp_path / 'state.pth', weights_only=True))
    assert again.param_schedulers[0].state_dict().keys() == run.param_schedulers[0].state_dict().keys()
    assert again.param_schedulers[0]._global_step == BEFORE


@pytest.mark.parametrize('kind', KINDS)
def test_by_epochs_and_converted(kind: str) -> None:
    converted = dict(type=kind, convert_to_iter_based=True, **{'end': EPOCHS, **KINDS[kind]})
    by_epoch = dict(type=kind, **KINDS[kind])
    for config in (converted, by_epoch):
        exponential = kind == 'ExponentialLR' and 'convert_to_iter_based' in config
        if exponential:
            continue  # mmengine takes gamma by iteration then, see below
        whole = train(run_of(config, 12), 12, EPOCHS)
        run = run_of(config, BEFORE)
        train(run, BEFORE, DONE)
        stretch_schedules(run, run.cfg['param_scheduler'], BEFORE, 12, DONE)
        rest = train(run, 12, EPOCHS - DONE)
        torch.testing.assert_close(torch.tensor(rest), torch.tensor(whole[DONE * 12 :]), rtol=1e-5, atol=1e-7)


def test_what_decays_by_iteration_ends_where_it_would_have() -> None:
    config = dict(type='ExponentialLR', gamma=0.9, convert_to_iter_based=True, end=EPOCHS)
    whole = train(run_of(config, BEFORE), BEFORE, EPOCHS)
    run = run_of(config, BEFORE)
    train(run, BEFORE, DONE)
    stretch_schedules(run, run.cfg['param_scheduler'], BEFORE, 3 * BEFORE, DONE)
    rest = train(run, 3 * BEFORE, EPOCHS - DONE)
    torch.testing.assert_close(torch.tensor(rest)[::3], torch.tensor(whole[DONE * BEFORE :]), rtol=1e-5, atol=1e-7)


def test_several_at_once_and_what_a_plateau_took() -> None:
    """A warm-up, a cosine and a plateau on one learning rate; the plateau has halved it once."""
    cosine = dict(type='CosineAnnealingLR', begin=8, end=WHOLE, by_epoch=False, eta_min=0.0)
    warm_up = dict(type='LinearLR', start_factor=0.1, begin=0, end=8, by_epoch=False)
    plateau = dict(type='ReduceOnPlateauLR', monitor='loss', factor=0.5, patience=1)
    run = run_of([warm_up, cosine, plateau], BEFORE)
    train(run, BEFORE, DONE)
    run.optim_wrapper.param_groups[0]['lr'] *= 0.5
    run.param_schedulers[2].best, before = 0.25, values(run)[0]
    stretch_schedules(run, run.cfg['param_scheduler'], BEFORE, 12, DONE)
    assert values(run)[0] == pytest.approx(before, rel=0.02) and run.param_schedulers[2].best == 0.25
    end = train(run, 12, EPOCHS - DONE)[-1][0]
    assert 0 < end < 0.01 * 0.1


def test_a_plateau_of_momentum_reaches_adam() -> None:
    plateau = dict(type='ReduceOnPlateauMomentum', monitor='loss', factor=0.5)
    run = run_of([by_iteration('ConstantLR', BEFORE), plateau], BEFORE)
    train(run, BEFORE, DONE)
    run.optim_wrapper.param_groups[0].update(momentum=0.45, betas=(0.45, 0.999))
    stretch_schedules(run, run.cfg['param_scheduler'], BEFORE, 12, DONE)
    assert values(run)[1:] == pytest.approx((0.45, 0.999))


def test_schedules_that_no_config_describes_go_on_as_they_were(caplog: pytest.LogCaptureFixture) -> None:
    run = run_of(by_iteration('LinearLR', BEFORE), BEFORE)
    kept = list(run.param_schedulers)
    stretch_schedules(run, run.param_schedulers, BEFORE, 12, 1)
    assert run.param_schedulers == kept
