"""Process groups: of a distributed run on a machine without a GPU, and of processes that only share work."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import init_dist


def join_cpu_processes(config: Config) -> None:
    """Join torchrun's process group by gloo where there is no accelerator; otherwise leave it to mmengine's runner.

    mmengine selects a GPU before it starts a group of any backend, which fails where there is none.
    """
    if config.launcher == 'pytorch' and get_device() == 'cpu' and not dist.is_initialized():
        dist.init_process_group('gloo')


@dataclass(frozen=True)
class Ranks:
    """The processes of a run that only share its work."""

    rank: int = 0
    count: int = 1
    #: The GPU of this process; None where there is none, or but one process.
    device: str | None = None

    @classmethod
    def join(cls, launcher: str) -> Ranks:
        """Join the group of torchrun or Slurm by gloo: nothing but waiting for each other goes through it."""
        if launcher == 'none':
            return cls()
        if launcher == 'slurm':
            init_dist('slurm', backend='gloo')
        else:
            dist.init_process_group('gloo')
        gpus = torch.cuda.device_count()
        device = f'cuda:{int(os.environ.get("LOCAL_RANK", 0)) % gpus}' if gpus else None
        return cls(dist.get_rank(), dist.get_world_size(), device)

    def share(self, make: Callable[[], Any]) -> Any:
        """What the first process makes, for all of them."""
        value = [make() if self.rank == 0 else None]
        if self.count > 1:
            dist.broadcast_object_list(value)
        return value[0]

    def wait(self) -> None:
        """Until all processes are here, for days if need be."""
        if self.count > 1:
            dist.monitored_barrier(timeout=timedelta(days=30))
