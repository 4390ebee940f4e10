"""Fixtures shared by the tests: tiny data sets in the real formats and a tiny random LMM."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')

import pytest
import torch
from mmengine.registry import init_default_scope

from tests.data_files import write_grefcoco, write_png, write_reasonseg, write_refcoco
from tests.tiny_llava import save_tiny_llava

REAL = Path(__file__).resolve().parents[2] / 'shared' / 'real'


@pytest.fixture(autouse=True)
def default_scope() -> None:
    """Types in configs are looked up as a runner would: first in this package, then in mmengine."""
    init_default_scope('flmm_plugin')


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing that tests certify is noted in the user's home."""
    monkeypatch.setenv('FLMM_CACHE', str(tmp_path / 'flmm_cache'))


@pytest.fixture(autouse=True, scope='session')
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def refcoco_root(tmp_path: Path) -> Path:
    """A folder with a RefCOCO of 4 images, 2 of them in split train."""
    return write_refcoco(tmp_path / 'refcoco_root')


@pytest.fixture
def grefcoco_root(tmp_path: Path) -> Path:
    """A folder with a gRefCOCO of 3 images, 2 of them in split train: 4 expressions, one without a target."""
    return write_grefcoco(tmp_path / 'grefcoco_root')


@pytest.fixture
def reasonseg_root(tmp_path: Path) -> Path:
    """A folder with the val split of a ReasonSeg of 2 images."""
    return write_reasonseg(tmp_path / 'reasonseg_root')


@pytest.fixture
def png_root(tmp_path: Path) -> Path:
    """A folder with panoptic narratives of 3 images, the last of which grounds nothing."""
    return write_png(tmp_path / 'png_root')


@pytest.fixture(scope='session')
def tiny_llava_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random LLaVA with its processor, as `save_pretrained` leaves it: image 96, patch 8, 2 layers of 4 heads."""
    return save_tiny_llava(tmp_path_factory.mktemp('tiny_llava'))


@pytest.fixture(scope='session')
def real_coco() -> Path:
    """Real COCO samples, where the machine has them."""
    if not (REAL / 'coco').is_dir():
        pytest.skip(f'no real samples at {REAL}')
    return REAL / 'coco'
