"""Schedules of a run that goes on with another number of batches an epoch: at the same share of the whole."""

from __future__ import annotations

import copy
import logging
from typing import Any

from mmengine.logging import print_log
from mmengine.optim import (
    BaseOptimWrapper,
    ExponentialParamScheduler,
    ReduceOnPlateauParamScheduler,
    _ParamScheduler,
)
from mmengine.registry import PARAM_SCHEDULERS
from mmengine.runner import Runner

LENGTHS = ('begin', 'end', 'T_max', 'step_size', 'total_steps')
PLACES = ('milestones', 'periods')
ENDLESS = int(1e9)  # mmengine's INF


def stretch_schedules(runner: Runner, before: int, batches: int, epochs: int) -> None:
    """Put the runner's schedulers where ``epochs`` of ``batches`` leave them, when each had ``before`` at first.

    Those that count iterations are built anew, stretched, and stepped from the beginning, which takes all kinds of
    mmengine's to the very value of an uninterrupted run. What ``ReduceOnPlateau`` took from a value stays taken.
    """
    configs = runner.cfg.get('param_scheduler')
    configs = [configs] if isinstance(configs, dict) else configs
    kept = runner.param_schedulers
    if not isinstance(kept, list) or all(scheduler.by_epoch for scheduler in kept):
        return
    if not isinstance(configs, (list, tuple)) or not all(isinstance(config, dict) for config in configs):
        message = 'The schedules cannot be stretched, since they are not those of a config: they go on as they were.'
        print_log(message, logger='current', level=logging.WARNING)
        return
    optimizer = runner.optim_wrapper
    groups = optimizer.param_groups
    names = [scheduler.param_name for scheduler in kept if isinstance(scheduler, ReduceOnPlateauParamScheduler)]
    factors: dict[tuple[int, str], float] = {}
    if names:
        had = [{name: group[name] for name in names} for group in groups]
        build(configs, optimizer, before, before, epochs, runner)
        factors = {
            (index, name): had[index][name] / group[name] if group[name] else 1.0
            for index, group in enumerate(groups)
            for name in names
        }
    made = build(configs, optimizer, before, batches, epochs, runner)
    for old, new in zip(kept, made, strict=True):
        if isinstance(new, ReduceOnPlateauParamScheduler):
            new.load_state_dict(old.state_dict())
    for (index, name), factor in factors.items():
        groups[index][name] *= factor
    kept[:] = made


def build(
    configs: Any, optimizer: BaseOptimWrapper, before: int, batches: int, epochs: int, runner: Runner
) -> list[_ParamScheduler]:
    """Schedulers, and the optimizer's parameters, after so many epochs of ``batches``."""
    reset(optimizer)
    made = []
    for config in configs:
        config = copy.deepcopy(dict(config))
        by_epoch = config.get('by_epoch', True)
        if not by_epoch:
            stretch(config, batches / before)
        config.setdefault('end', runner.max_epochs if by_epoch else runner.max_epochs * batches)
        made.append(PARAM_SCHEDULERS.build(config, default_args=dict(optimizer=optimizer, epoch_length=batches)))
        if isinstance(made[-1], ExponentialParamScheduler) and not made[-1].by_epoch:
            made[-1].gamma **= before / batches
    optimizer._global_step = 0  # so that no scheduler warns that nothing was trained yet
    counted = [scheduler for scheduler in made if not isinstance(scheduler, ReduceOnPlateauParamScheduler)]
    for _ in range(epochs):
        for _ in range(batches):
            for scheduler in counted:
                if not scheduler.by_epoch:
                    scheduler.step()
        for scheduler in counted:
            if scheduler.by_epoch:
                scheduler.step()
    return made


def reset(optimizer: BaseOptimWrapper) -> None:
    """Give every scheduled parameter the value that it began with."""
    for group in optimizer.param_groups:
        for key in [key for key in group if key.startswith('initial_')]:
            group[key.removeprefix('initial_')] = group[key]
        if 'betas' in group and 'initial_momentum' in group:
            group['betas'] = (group['initial_momentum'], *group['betas'][1:])


def stretch(config: dict[str, Any], factor: float) -> None:
    """Multiply what a scheduler's config counts in iterations, in place."""
    for name in LENGTHS:
        if config.get(name) is not None and config[name] < ENDLESS:
            config[name] = round(config[name] * factor) or (0 if name == 'begin' else 1)
    for name in PLACES:
        if name in config:
            config[name] = [max(1, round(place * factor)) for place in config[name]]
    if config.get('end', ENDLESS) <= config.get('begin', 0):
        config['end'] = config.get('begin', 0) + 1
