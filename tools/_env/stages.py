"""The stages of a set-up. A stage is complete when the stamp holds the key of what it would install."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import mmcv_wheel
from .console import CommandError, SetupError
from .context import ROOT, Context, pinned, requirements

STAMP = 'flmm_setup.json'
# 18,000 files, of which a program imports a fifth: Python compiles those when they are first imported.
NO_BYTECODE = '--no-compile'
# What a training, a test of it and a conversation import.
IMPORT_PROBE = (
    'import mmcv.ops, mmdet.models, mmdet.evaluation, mmdet.visualization, xtuner.tools.train, gradio, pytest; '
    'import flmm_plugin.apis, flmm_plugin.engine, flmm_plugin.evaluation, flmm_plugin.visualization; '
    'from flmm_plugin.models import lmms; lmms.LlavaLMM("flmm_plugin::tiny_llava")'
)
# Many containers set PYTHONDONTWRITEBYTECODE; each program would then compile 4,000 files again, 16 s on slow cores.
KEEP_BYTECODE = {'PYTHONDONTWRITEBYTECODE': ''}


@dataclass(frozen=True)
class Stage:
    """``inputs``: the files that say what is installed. ``*_gb``: measured sizes, on disk and to download."""

    name: str
    title: str
    run: Callable[[Context], None]
    inputs: tuple[Path, ...] = ()
    installed_gb: float = 0.0
    download_gb: float = 0.0

    def key(self, venv: Path) -> str:
        parts = [str(venv), *(path.read_text() for path in self.inputs)]
        return hashlib.sha256('\0'.join(parts).encode()).hexdigest()


def read_stamp(venv: Path) -> dict[str, str]:
    """Keys of the stages that are complete; none where there is no usable environment."""
    if not os.access(venv / 'bin' / 'python', os.X_OK):
        return {}
    try:
        return dict(json.loads((venv / STAMP).read_text()))
    except (OSError, ValueError):
        return {}


def write_stamp(venv: Path, stamp: dict[str, str]) -> None:
    partial = venv / f'{STAMP}.partial'
    partial.write_text(json.dumps(stamp, indent=2) + '\n')
    partial.replace(venv / STAMP)


def remaining(stages: list[Stage], venv: Path) -> list[Stage]:
    stamp = read_stamp(venv)
    return [stage for stage in stages if stamp.get(stage.name) != stage.key(venv)]


def drop_interrupted(venv: Path) -> None:
    """Forget packages whose installation was cut off, so that pip installs them again.

    pip writes INSTALLER once a package's files are all there; without it the metadata alone makes pip believe in it.
    """
    for metadata in venv.glob('lib/python*/site-packages/*.dist-info'):
        if not (metadata / 'INSTALLER').exists():
            shutil.rmtree(metadata)


def make_environment(context: Context) -> None:
    venv = context.venv
    if venv.exists() and not os.access(context.python, os.X_OK):
        if any(venv.iterdir()) and not (venv / 'pyvenv.cfg').exists():
            raise SetupError(f'{venv} exists and is no Python environment: move it away, or VENV=... make setup')
        context.console.say(f'      {venv} does not start any more (its Python has gone): making it anew')
        shutil.rmtree(venv)
    if not venv.exists() or not (venv / 'bin' / 'pip').exists():
        context.console.run([sys.executable, '-m', 'venv', venv])
    context.pip('install', '-r', requirements('build'))


def install_torch(context: Context) -> None:
    context.pip('install', NO_BYTECODE, '-r', requirements('torch'))


def install_packages(context: Context) -> None:
    files = ('-r', requirements('runtime'), '-r', requirements('dev'), '-c', requirements('torch'))
    context.pip('install', NO_BYTECODE, *files)
    try:
        context.console.run([context.python, '-c', 'import cv2'])
    except CommandError as error:
        if '.so' not in error.output:
            raise
        # Containers often lack the windowing libraries that opencv-python links to; the headless build does without.
        context.console.say('      opencv-python lacks a system library here: taking the headless build')
        version = pinned('runtime', 'opencv-python')
        context.pip('install', '--no-deps', '--force-reinstall', f'opencv-python-headless=={version}')


def install_xtuner(context: Context) -> None:
    context.pip('install', '--no-deps', '-r', requirements('xtuner'))


def install_project(context: Context) -> None:
    context.pip('install', '--no-deps', '--no-build-isolation', '-e', ROOT)
    try:
        context.console.run([context.python, '-c', IMPORT_PROBE], {'CUDA_VISIBLE_DEVICES': '', **KEEP_BYTECODE})
    except CommandError as error:
        raise SetupError(
            f'all is installed, but it does not import together: {error}\n'
            f'  Packages changed by hand? Then remove {context.venv} and run make setup again.'
        ) from error


def all_stages() -> list[Stage]:
    build, torch, mmcv = requirements('build'), requirements('torch'), requirements('mmcv')
    packages = (requirements('runtime'), requirements('dev'))
    project = (ROOT / 'setup.py', ROOT / 'pyproject.toml')
    torch_title = f'torch {pinned("torch", "torch")} and torchvision (1.8 GB to download)'
    return [
        Stage('venv', 'environment and build tools', make_environment, (build,)),
        Stage('torch', torch_title, install_torch, (torch,), installed_gb=4.9, download_gb=1.8),
        Stage('packages', 'transformers, mmengine, mmdet and their needs', install_packages, packages, 1.3, 0.3),
        Stage('mmcv', f'mmcv {pinned("mmcv", "mmcv")}', mmcv_wheel.install, (mmcv, torch)),
        Stage('xtuner', 'xtuner, without its pins', install_xtuner, (requirements('xtuner'),)),
        Stage('project', 'flmm_plugin, and does all import together?', install_project, project),
    ]
