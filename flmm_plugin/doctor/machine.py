"""Compiled operators, GPU and disk: what has to run, not just import."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flmm_plugin.doctor.findings import Finding, fail, first_line, ok, warn

GB = 1e9
LOW_DISK_GB = 5.0
TORCHVISION_REMEDY = (
    'torch and torchvision must be builds made for each other (a CPU-only torch does not load a CUDA torchvision):\n'
    'reinstall both from the same place, or make setup'
)
MMCV_REMEDY = (
    'mmcv must be compiled for this torch: see docs/install.md, or make setup\n'
    'mmcv-lite has no operators: pip uninstall mmcv-lite first'
)
OPENCV_REMEDY = (
    'a container without windowing libraries? opencv-python-headless, the same version, does without:\n'
    'pip install --no-deps --force-reinstall opencv-python-headless==<version of opencv-python>'
)


def check_operators() -> list[Finding]:
    return [
        _attempt('opencv', 'imports', OPENCV_REMEDY, lambda: importlib.import_module('cv2')),
        _attempt('torchvision operators', 'nms runs', TORCHVISION_REMEDY, lambda: _suppress(_torchvision_nms)),
        _attempt('mmcv operators', 'nms runs', MMCV_REMEDY, lambda: _suppress(_mmcv_nms)),
        _attempt(
            'mmdet',
            'models and metrics import',
            'see the message; make setup installs versions that fit',
            _import_mmdet,
        ),
        _attempt(
            'flmm_plugin', 'models import', 'see the message; make setup installs versions that fit', _import_models
        ),
    ]


def _attempt(subject: str, works: str, remedy: str, action: Callable[[], Any]) -> Finding:
    try:
        action()
    except ModuleNotFoundError as error:
        return fail(subject, first_line(error), f'install {error.name} first; make setup installs all')
    except Exception as error:  # whatever a broken installation raises is the finding
        return fail(subject, first_line(error), remedy)
    return ok(subject, works)


def _torchvision_nms(boxes: Any, scores: Any) -> Any:
    return importlib.import_module('torchvision.ops').nms(boxes, scores, 0.5)


def _mmcv_nms(boxes: Any, scores: Any) -> Any:
    return importlib.import_module('mmcv.ops').nms(boxes, scores, 0.5)[1]


def _suppress(nms: Callable[[Any, Any], Any]) -> None:
    """Two boxes that overlap by 90 %: the second one must go."""
    torch = importlib.import_module('torch')
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 9.0]])
    kept = nms(boxes, torch.tensor([0.9, 0.8])).tolist()
    if kept != [0]:
        raise RuntimeError(f'nms kept boxes {kept} instead of [0]')


def _import_mmdet() -> None:
    for module in ('mmdet.models', 'mmdet.evaluation'):
        importlib.import_module(module)


def _import_models() -> None:
    importlib.import_module('flmm_plugin.models')


def has_gpu() -> bool:
    try:
        return bool(importlib.import_module('torch').cuda.is_available())
    except Exception:
        return False


def check_gpu() -> Finding:
    if not has_gpu():
        if shutil.which('nvidia-smi'):
            remedy = 'update the NVIDIA driver, or install a torch build for the CUDA version that it supports'
            return warn('GPU', 'there is an NVIDIA driver, but torch cannot use it', remedy)
        return ok('GPU', 'none; the tiny configs run on the CPU, a 7B LMM wants a GPU with 24 GB')
    torch = importlib.import_module('torch')
    devices = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return ok('GPU', ', '.join(f'{device.name} ({device.total_memory / GB:.0f} GB)' for device in devices))


def check_disk(low_gb: float = LOW_DISK_GB) -> list[Finding]:
    hub = (
        os.environ.get('HF_HUB_CACHE') or Path(os.environ.get('HF_HOME') or Path.home() / '.cache/huggingface') / 'hub'
    )
    places = (
        ('disk for work_dirs', Path.cwd(), 'choose another place with --work-dir'),
        ('disk for downloaded LMMs', Path(hub), 'move it with HF_HOME=...; a 7B LMM takes 15 GB'),
    )
    return [_check_free(subject, place, remedy, low_gb) for subject, place, remedy in places]


def _check_free(subject: str, place: Path, remedy: str, low_gb: float) -> Finding:
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / GB
    detail = f'{free:.0f} GB free at {place}'
    return ok(subject, detail) if free >= low_gb else warn(subject, detail, f'free some, or {remedy}')
