"""The process group of a distributed run on a machine without a GPU."""

from __future__ import annotations

import torch.distributed as dist
from mmengine.config import Config
from mmengine.device import get_device


def join_cpu_processes(config: Config) -> None:
    """Join torchrun's process group by gloo where there is no accelerator; otherwise leave it to mmengine's runner.

    mmengine selects a GPU before it starts a group of any backend, which fails where there is none.
    """
    if config.launcher == 'pytorch' and get_device() == 'cpu' and not dist.is_initialized():
        dist.init_process_group('gloo')
