"""A config of a tiny random FLMM on a few scenes, and the tools: in the test's own process, or in others."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import flmm_plugin.engine  # noqa: F401 (lets torch.load read mmengine's checkpoints)
from tests.tiny_flmm import tiny_flmm

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
_base_ = [
    '{root}/configs/_base_/datasets/scenes.py',
    '{root}/configs/_base_/schedules/schedule_tiny.py',
    '{root}/configs/_base_/default_runtime.py',
]
model = {model}
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False)
val_dataloader = dict(batch_size=2, num_workers=0)
test_dataloader = dict(batch_size=2, num_workers=0)
train_cfg = dict(max_iters=4, val_interval=4)
default_hooks = dict(checkpoint=dict(interval=2, max_keep_ckpts=3), visualization=dict(interval=2))
"""


def write_config(path: Path, lmm: Path, more: str = '', **changes: Any) -> Path:
    """``more``: lines at the end of the config; ``changes``: of the model."""
    path.write_text(CONFIG.format(root=ROOT, model=tiny_flmm(lmm, **changes)) + more)
    return path


def command(tool: str, *arguments: Any) -> list[str]:
    """A tool of this repository as a command line: a Python file, or a shell script if its name ends so."""
    interpreter = 'bash' if tool.endswith('.sh') else sys.executable
    return [interpreter, str(ROOT / 'tools' / tool), *(str(argument) for argument in arguments)]


def environment() -> dict[str, str]:
    return {**os.environ, 'PYTHON': sys.executable, 'PORT': str(free_port()), 'OMP_NUM_THREADS': '1'}


def run(tool: str, *arguments: Any) -> None:
    """Run a Python tool of this repository in this process."""
    run_file(ROOT / 'tools' / f'{tool}.py', *arguments)


def run_file(path: Path, *arguments: Any) -> None:
    """Run the ``main`` of a tool that is a Python file in this process."""
    spec = importlib.util.spec_from_file_location(f'tool_{path.stem}', path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', [path.name, *(str(argument) for argument in arguments)])
        module.main()


def launch(cwd: Path, tool: str, *arguments: Any) -> str:
    """Run a tool to its end in processes of its own, in the folder ``cwd``; what it printed."""
    done = subprocess.run(
        command(tool, *arguments),
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return listener.getsockname()[1]


def weights(path: Path) -> dict[str, Tensor]:
    return torch.load(path, weights_only=True)['state_dict']
