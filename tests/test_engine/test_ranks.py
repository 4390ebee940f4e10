"""Two gloo processes do what one does: the tools as they are started by torchrun, and one training step."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from flmm_plugin.datasets.scenes import write_scenes
from flmm_plugin.registry import MODELS
from tests.test_engine.tiny_runs import launch, run, weights, write_config
from tests.tiny_flmm import four_samples, tiny_flmm

# Sentences without chance, and 5 samples to test, which 2 processes cannot share evenly.
MORE = """
train_dataloader['dataset'] = dict(
    type='ConcatDataset',
    datasets=[
        dict(_base_.narratives),
        dict(_base_.refcoco, split='train', protocol='concat/all_sentences'),
    ],
    _delete_=True,
)
test_dataloader['batch_size'] = 1
test_dataloader['dataset'] = dict(_base_.test_dataloader.dataset)
test_dataloader['dataset']['datasets'][1]['indices'] = 2
"""


@pytest.fixture(scope='module')
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('data') / 'scenes'
    write_scenes(root, num=6, seed=0, fractions=(0.5, 0.5, 0))
    return root


@pytest.fixture(scope='module')
def config(tmp_path_factory: pytest.TempPathFactory, tiny_llava_dir: Path) -> Path:
    return write_config(tmp_path_factory.mktemp('config') / 'tiny.py', tiny_llava_dir, MORE)


def test_tools_on_two_processes(config: Path, scenes: Path, tmp_path: Path) -> None:
    options = [f'data_root={scenes}', 'train_cfg.val_interval=100', 'env_cfg.dist_cfg.backend=gloo']
    one, two = tmp_path / 'one', tmp_path / 'two'
    run('train', config, '--work-dir', one, '--cfg-options', *options)
    halves = [*options, 'train_dataloader.batch_size=1']
    launch(tmp_path, 'dist_train.sh', config, 2, '--work-dir', two, '--cfg-options', *halves)
    alone, shared = weights(one / 'iter_4.pth'), weights(two / 'iter_4.pth')
    assert alone.keys() == shared.keys()
    for name in alone:
        torch.testing.assert_close(alone[name], shared[name], atol=1e-5, rtol=1e-5, msg=lambda m, n=name: f'{n}: {m}')

    checkpoint, options = one / 'iter_4.pth', ['--cfg-options', *options]
    run('test', config, checkpoint, '--work-dir', one, '--out', one / 'out.pkl', *options)
    launch(tmp_path, 'dist_test.sh', config, checkpoint, 2, '--work-dir', two, '--out', two / 'out.pkl', *options)
    metrics = json.loads((one / 'metrics.json').read_text())
    assert len(metrics) > 20
    assert json.loads((two / 'metrics.json').read_text()) == metrics
    names = [[sample['sample_id'] for sample in pickle.loads((at / 'out.pkl').read_bytes())] for at in (one, two)]
    assert names[0] == names[1] and len(set(names[0])) == 5


def step(config: dict, rank: int, world: int) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    """Losses, and what the gradients are after DDP's averaging, on this rank's share of four samples."""
    torch.manual_seed(0)
    model = MODELS.build(config)
    images, samples = four_samples()
    mine = slice(rank * 4 // world, (rank + 1) * 4 // world)
    inputs = images[mine], samples[mine]
    wrapped = model if world == 1 else DistributedDataParallel(model, find_unused_parameters=True)
    losses = {name: value for name, value in wrapped(*inputs, mode='loss').items() if 'loss' in name}
    sum(losses.values()).backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {name: value.item() for name, value in losses.items()}, gradients


def save_step(rank: int, folder: str, config: dict) -> None:
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    torch.save(step(config, rank, 2), f'{folder}/{rank}.pth')
    dist.destroy_process_group()


def test_ranks_with_unequal_numbers_of_phrases(tiny_llava_dir: Path, tmp_path: Path) -> None:
    """The mean loss and the gradients are those of all four samples on one process; 3 phrases are here, 4 there."""
    config = tiny_flmm(tiny_llava_dir)
    mp.start_processes(save_step, (str(tmp_path), config), nprocs=2, start_method='forkserver')
    losses, gradients = step(config, 0, 1)
    (first, shared), (second, same) = (torch.load(tmp_path / f'{rank}.pth') for rank in range(2))
    for name in losses:
        assert (first[name] + second[name]) / 2 == pytest.approx(losses[name], abs=1e-5)
    assert gradients.keys() == shared.keys() == same.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(shared[name], gradient, atol=1e-5, rtol=1e-4)
        assert torch.equal(shared[name], same[name])
