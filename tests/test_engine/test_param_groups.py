"""Parameters of equal settings share a group, and are updated as with a group for each."""

from __future__ import annotations

import copy

import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from flmm_plugin.engine import MergedOptimWrapperConstructor


def build(model: nn.Module, constructor: str) -> torch.optim.Optimizer:
    return build_optim_wrapper(
        model,
        dict(
            type='OptimWrapper',
            optimizer=dict(type='AdamW', lr=1e-2, weight_decay=0.1),
            constructor=constructor,
            paramwise_cfg=dict(bias_decay_mult=0.0, custom_keys={'1': dict(lr_mult=0.3)}),
        ),
    ).optimizer


def test_same_updates_from_fewer_groups() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    model[2].weight.requires_grad_(False)
    twin = copy.deepcopy(model)
    merged, single = build(model, MergedOptimWrapperConstructor.__name__), build(twin, 'DefaultOptimWrapperConstructor')
    assert [len(group['params']) for group in merged.param_groups] == [1, 2, 2]
    assert len(single.param_groups) == 5
    assert [group['lr'] for group in merged.param_groups] == [1e-2, 1e-2, 3e-3]
    x = torch.randn(3, 4)
    for one, optimizer in ((model, merged), (twin, single)):
        for _ in range(3):
            optimizer.zero_grad()
            one(x).square().sum().backward()
            optimizer.step()
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one, other)
