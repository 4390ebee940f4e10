from __future__ import annotations

import logging

import pytest
from mmengine.logging import MMLogger
from mmengine.registry import EVALUATOR, OPTIMIZERS, PARAM_SCHEDULERS, RUNNERS
from torch import nn

from flmm_plugin.engine.param_groups import MergedOptimWrapperConstructor
from flmm_plugin.quiet import without_messages


def test_only_the_named_messages_are_dropped_and_only_inside(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger('test_quiet')
    with without_messages(logger, 'noise'):
        logger.warning('some noise: 1')
        logger.warning('what concerns a user')
    logger.warning('noise: 2')
    assert caplog.messages == ['what concerns a user', 'noise: 2']


def test_types_of_mmengine_are_looked_up_without_a_warning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    MMLogger.get_instance('quiet_look_up')
    own = [parent._search_child('flmm_plugin') for parent in (OPTIMIZERS, PARAM_SCHEDULERS, EVALUATOR, RUNNERS)]
    for registry in own:
        monkeypatch.setattr(registry, '_imported', False)
        registry.import_from_location()
    assert not ''.join(capsys.readouterr())


def test_options_of_parameters_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    MMLogger.get_instance('quiet_parameters')
    config = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1.0))
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False))
    MergedOptimWrapperConstructor(config, dict(custom_keys={'0': dict(lr_mult=0.5)}))(model)
    lines = ''.join(capsys.readouterr()).splitlines()
    assert not [line for line in lines if 'paramwise_options' in line or 'requires_grad' in line]
    assert len([line for line in lines if '2 parameters with lr=0.5' in line]) == 1
