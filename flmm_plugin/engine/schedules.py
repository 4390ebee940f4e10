"""Schedules of a run that goes on with another number of batches an epoch: at the same share of the whole."""

from __future__ import annotations

import copy
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.logging import print_log
from mmengine.optim import BaseOptimWrapper, ReduceOnPlateauParamScheduler, _ParamScheduler
from mmengine.registry import PARAM_SCHEDULERS
from mmengine.runner import Runner

LENGTHS = ('begin', 'end', 'T_max', 'step_size', 'total_steps')
PLACES = ('milestones', 'periods')
ENDLESS = int(1e9)  # mmengine's INF


def stretch_schedules(
    runner: Runner, configs: Any, before: int, batches: int, epochs: int, first: int | None = None
) -> None:
    """Put the runner's schedulers where ``epochs`` of ``batches`` leave them, when each had ``before`` so far.

    Those that count iterations are built anew, stretched, and stepped from the beginning, which takes all kinds of
    mmengine's to the very value of an uninterrupted run. What ``ReduceOnPlateau`` took from a value stays taken.

    Args:
        configs: of the schedulers, for epochs of the ``first`` number of batches that the run began with, or for those
            of now, where whoever resumes it has counted anew: what the checkpoint's schedulers hold tells which.
    """
    configs = [configs] if isinstance(configs, dict) else configs
    kept = runner.param_schedulers
    if not isinstance(kept, list) or all(scheduler.by_epoch for scheduler in kept):
        return
    if not isinstance(configs, (list, tuple)) or not all(isinstance(config, dict) for config in configs):
        message = 'The schedules cannot be stretched, since they are not those of a config: they go on as they were.'
        print_log(message, logger='current', level=logging.WARNING)
        return
    counted_for = min((first or before, batches), key=lambda number: distance(configs, before / number, kept))
    optimizer = runner.optim_wrapper
    groups = optimizer.param_groups
    names = [scheduler.param_name for scheduler in kept if isinstance(scheduler, ReduceOnPlateauParamScheduler)]
    factors: dict[tuple[int, str], float] = {}
    if names:
        had = [{name: group[name] for name in names} for group in groups]
        build(configs, before / counted_for, optimizer, before, epochs, runner)
        factors = {
            (index, name): had[index][name] / group[name] if group[name] else 1.0
            for index, group in enumerate(groups)
            for name in names
        }
    made = build(configs, batches / counted_for, optimizer, batches, epochs, runner)
    for old, new in zip(kept, made, strict=True):
        if isinstance(new, ReduceOnPlateauParamScheduler):
            new.load_state_dict(old.state_dict())
    for (index, name), factor in factors.items():
        groups[index][name] *= factor
        if name == 'momentum' and 'betas' in groups[index]:  # where Adam reads it
            groups[index]['betas'] = (groups[index][name], *groups[index]['betas'][1:])
    kept[:] = made


def build(
    configs: Sequence[dict], factor: float, optimizer: BaseOptimWrapper, batches: int, epochs: int, runner: Runner
) -> list[_ParamScheduler]:
    """Schedulers, and the optimizer's parameters, after so many epochs of ``batches``, stretched by ``factor``."""
    reset(optimizer)
    made = []
    for config in configs:
        config = stretched(config, factor)
        config.setdefault('end', runner.max_epochs * (1 if config.get('by_epoch', True) else batches))
        made.append(PARAM_SCHEDULERS.build(config, default_args=dict(optimizer=optimizer, epoch_length=batches)))
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


def stretched(config: dict[str, Any], factor: float) -> dict[str, Any]:
    """A scheduler's config, with what it counts in iterations multiplied."""
    config = copy.deepcopy(dict(config))
    by_epoch = config.get('by_epoch', True)
    decays = 'gamma' in config and not {'step_size', 'milestones'} & config.keys()
    if decays and (not by_epoch or config.get('convert_to_iter_based')):  # mmengine decays by iteration in both
        config['gamma'] **= 1 / factor
    if by_epoch:
        return config
    for name in LENGTHS:
        if config.get(name) is not None and config[name] < ENDLESS:
            config[name] = round(config[name] * factor) or (0 if name == 'begin' else 1)
    for name in PLACES:
        if name in config:
            config[name] = [max(1, round(place * factor)) for place in config[name]]
    if config.get('end', ENDLESS) <= config.get('begin', 0):
        config['end'] = config.get('begin', 0) + 1
    return config


def distance(configs: Sequence[dict], factor: float, kept: Sequence[_ParamScheduler]) -> float:
    """How far the configs, stretched, are from what the checkpoint's schedulers hold."""
    pairs = zip(configs, kept, strict=False)
    told = [(own, _held(scheduler, name)) for config, scheduler in pairs for name, own in _counted(config, factor)]
    return sum(
        abs(one - other) for own, held in told if len(own) == len(held) for one, other in zip(own, held, strict=True)
    )


def _counted(config: dict[str, Any], factor: float) -> Iterator[tuple[str, list[float]]]:
    if config.get('by_epoch', True) and not config.get('convert_to_iter_based'):
        return
    names = ('gamma',) if config.get('by_epoch', True) else ('gamma', *LENGTHS, *PLACES)
    for name in names:
        value = stretched(config, factor).get(name)
        if value is not None:
            yield name, sorted(value) if name in PLACES else [value]


def _held(scheduler: _ParamScheduler, name: str) -> list[float]:
    value = getattr(scheduler, name, None)
    if isinstance(value, Counter):
        return sorted(value.elements())
    return [] if value is None else sorted(value) if isinstance(value, (list, tuple)) else [value]
