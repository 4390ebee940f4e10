"""Batches that are gathered into one step train as one batch does, whatever their numbers of phrases."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.registry import OPTIM_WRAPPERS
from torch.nn.parallel import DistributedDataParallel

from flmm_plugin.engine import OptimWrapper
from flmm_plugin.registry import MODELS
from tests.tiny_flmm import random_image, random_sample, tiny_flmm

WORDS = [['the dog'], ['two dogs', 'sky', 'grass', 'the sky', 'a thing'], ['a dog', 'the dogs'], ['the grass']]


def samples() -> tuple[list[torch.Tensor], list[Any]]:
    images = [random_image(48, 64, seed=index) for index in range(len(WORDS))]
    return images, [random_sample(48, 64, words, seed=index) for index, words in enumerate(WORDS)]


def gradients(
    config: dict, parts: list[slice], kind: str = 'flmm_plugin.OptimWrapper', wrap: bool = False
) -> dict[str, Any]:
    """What a step over ``parts`` of the samples, one after the other, updates parameters by."""
    torch.manual_seed(0)
    model = MODELS.build(config)
    run = DistributedDataParallel(model, find_unused_parameters=True) if wrap else model
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    wrapper = OPTIM_WRAPPERS.build(dict(type=kind, optimizer=optimizer, accumulative_counts=len(parts)))
    wrapper.initialize_count_status(model, 0, len(parts))
    wrapper.zero_grad = lambda **kwargs: None  # so that the gradients of the step can be looked at
    images, about = samples()
    for part in parts:
        with wrapper.optim_context(run):
            losses = run(images[part], about[part], mode='loss')
            wrapper.update_params(sum(value for name, value in losses.items() if 'loss' in name))
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def difference(first: dict[str, Any], second: dict[str, Any]) -> float:
    """The norm of the difference over that of all gradients."""
    one, other = (torch.cat([each[name].flatten() for name in second]) for each in (first, second))
    return ((one - other).norm() / other.norm()).item()


@pytest.mark.parametrize('cuts', [[0, 1, 2], [0, 1, 4], [0, 1, 2, 3, 4], [0, 3, 4]])
def test_a_window_is_one_batch(cuts: list[int], tiny_llava_dir: Path) -> None:
    config = tiny_flmm(tiny_llava_dir)
    whole = gradients(config, [slice(0, cuts[-1])])
    parts = [slice(*pair) for pair in itertools.pairwise(cuts)]
    assert difference(gradients(config, parts), whole) <= 1e-6
    assert difference(gradients(config, parts, 'mmengine.OptimWrapper'), whole) > 1e-2


def test_windows_follow_one_another() -> None:
    """Two windows, the second cut short by the end of training; and a model that counts no phrases."""
    weight = torch.nn.Parameter(torch.zeros(()))
    wrapper = OptimWrapper(torch.optim.SGD([weight], lr=1.0), accumulative_counts=2)
    wrapper.initialize_count_status(torch.nn.Identity(), 0, 3)
    hub = wrapper.message_hub.get_current_instance()
    told = []
    for phrases, slope in ((1.0, 6.0), (5.0, 12.0), (4.0, 3.0)):
        hub.update_info('phrases_per_rank', torch.tensor(phrases), resumed=False)
        wrapper.update_params(weight * slope)
        told.append(weight.item())
    assert told == pytest.approx([0, -11, -14])  # (1 * 6 + 5 * 12) / 6, then 3
    hub.pop_info('phrases_per_rank')
    plain = OptimWrapper(torch.optim.SGD([weight], lr=1.0), accumulative_counts=2)
    plain.initialize_count_status(torch.nn.Identity(), 0, 2)
    for slope in (6.0, 12.0):
        plain.update_params(weight * slope)
    assert weight.item() == pytest.approx(-14 - 9)


def save_step(rank: int, folder: str, config: dict) -> None:
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    parts = [slice(2 * rank, 2 * rank + 1), slice(2 * rank + 1, 2 * rank + 2)]
    torch.save(gradients(config, parts, wrap=True), f'{folder}/{rank}')
    dist.destroy_process_group()


def test_across_ranks_too(tiny_llava_dir: Path, tmp_path: Path) -> None:
    config = tiny_flmm(tiny_llava_dir)
    mp.start_processes(save_step, (str(tmp_path), config), nprocs=2, start_method='forkserver')
    whole = gradients(config, [slice(0, 4)])
    for rank in range(2):
        assert difference(torch.load(tmp_path / str(rank)), whole) <= 1e-6
