"""Which samples come, and how often, when a run by iterations goes on with other processes or another batch size."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import Dataset

from flmm_plugin.engine import ResumableIterLoop  # noqa: F401 (registers it)

SIZE = 30


class Numbers(Dataset):
    metainfo: dict = {}

    def __len__(self) -> int:
        return SIZE

    def __getitem__(self, index: int) -> dict[str, int]:
        return dict(inputs=index)


class Line(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.slope = torch.nn.Parameter(torch.ones(()))

    def forward(self, inputs: Tensor, mode: str) -> dict[str, Tensor]:
        return dict(loss=(self.slope * inputs).mean())


class Seen(Hook):
    """What each iteration was given."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        self.batches.append([int(index) for index in data_batch['inputs']])


def train(
    folder: Path, batch: int, until: int, seed: int | None = 0, workers: int = 0, sampler: str = 'Infinite'
) -> list:
    """Train until so many iterations, from the checkpoint in ``folder`` if there is one; the batches of this rank."""
    seen = Seen()
    runner = Runner(
        model=Line(),
        work_dir=str(folder),
        train_dataloader=dict(
            batch_size=batch,
            num_workers=workers,
            persistent_workers=workers > 0,
            sampler=dict(type=f'{sampler}Sampler', shuffle=True),
            dataset=Numbers(),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(type='flmm_plugin.ResumableIterLoop', max_iters=until),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.0)),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=until), logger=None),
        custom_hooks=[seen],
        randomness=dict(seed=seed),
        resume=(folder / 'last_checkpoint').is_file(),
        experiment_name=f'{folder.name}_{until}',
        log_level='WARNING',
    )
    runner.train()
    return seen.batches


def flat(batches: list[list[int]]) -> list[int]:
    return [index for batch in batches for index in batch]


def test_another_batch_size_takes_up_the_stream_where_it_was_left(tmp_path: Path) -> None:
    # 12 and 12 + 15 and 27 + 4 samples, then two more epochs: batches that do not fit the ones before.
    parts = [(3, 4), (5, 7), (2, 9), (6, 19)]
    came = flat([batch for size, until in parts for batch in train(tmp_path, size, until)])
    assert len(came) == 91
    for epoch in (came[:SIZE], came[SIZE : 2 * SIZE], came[2 * SIZE : 3 * SIZE]):
        assert Counter(epoch) == Counter(range(SIZE))
    assert came == flat(train(tmp_path / 'whole', 91, 1))


def test_killed_after_a_change_it_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    """12 samples, then 18 by threes, once at a go and once resumed between."""
    came = {}
    for name, stops in (('once', [9]), ('twice', [6, 9])):
        came[name] = flat(
            [*train(tmp_path / name, 4, 3), *(b for until in stops for b in train(tmp_path / name, 3, until))]
        )
    assert came['once'] == came['twice'] and Counter(came['once']) == Counter(range(SIZE))


def test_workers_and_a_seed_that_was_drawn(tmp_path: Path) -> None:
    """Workers take samples from the sampler before training begins; without a seed each process draws its own."""
    came = flat(train(tmp_path, 2, 3, seed=None, workers=1) + train(tmp_path, 3, 11, seed=None, workers=1))
    assert Counter(came) == Counter(range(SIZE))


def rank_of_two(rank: int, folder: str, batch: int, until: int) -> None:
    dist.init_process_group('gloo', init_method=f'file://{folder}/store_{until}', rank=rank, world_size=2)
    (Path(folder) / f'{until}_{rank}.json').write_text(json.dumps(train(Path(folder), batch, until)))
    dist.destroy_process_group()


def both_ranks(folder: Path, batch: int, until: int) -> list[int]:
    mp.start_processes(rank_of_two, (str(folder), batch, until), nprocs=2, start_method='forkserver')
    return flat([b for rank in range(2) for b in json.loads((folder / f'{until}_{rank}.json').read_text())])


def test_other_processes_see_every_sample_of_an_epoch_once(tmp_path: Path) -> None:
    came = flat(train(tmp_path, 3, 3))  # 9 samples: the second of two ranks is next
    came += both_ranks(tmp_path, 3, 5)  # 12 more
    came += flat(train(tmp_path, 3, 8))  # and 9
    assert Counter(came) == Counter(range(SIZE))


def test_a_sampler_of_epochs_is_told_of(tmp_path: Path) -> None:
    for batch, until in ((2, 2), (3, 3)):
        train(tmp_path, batch, until, sampler='Default')
    assert 'come twice or never' in ''.join(log.read_text() for log in tmp_path.rglob('*.log'))
