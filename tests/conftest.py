"""Fixtures shared by the tests: tiny data sets in the real formats and a tiny random LMM."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')

import pytest
import torch
from mmengine.registry import init_default_scope
from PIL import Image

from tests.data_files import write_grefcoco, write_png, write_reasonseg, write_refcoco
from tests.tiny_llava import save_tiny_llava

REAL = Path(__file__).resolve().parents[2] / 'shared' / 'real'


@pytest.fixture(autouse=True)
def default_scope() -> None:
    """Types in configs are looked up as a runner would: first in this package, then in mmengine."""
    init_default_scope('flmm_plugin')


@pytest.fixture(autouse=True, scope='module')
def default_scope_of_fixtures() -> None:
    """The same for what a module's fixtures build, whatever scope the file before it left."""
    init_default_scope('flmm_plugin')


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing that tests certify is noted in the user's home."""
    monkeypatch.setenv('FLMM_CACHE', str(tmp_path / 'flmm_cache'))


@pytest.fixture(autouse=True, scope='session')
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope='session')
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 12 scenes, two of them in a folder of its own."""
    from tests.tiny_checkpoint import draw_scene  # not needed where nothing but models is tested

    folder = tmp_path_factory.mktemp('pictures')
    (folder / 'more').mkdir()
    for index in range(12):
        Image.fromarray(draw_scene(index)).save(folder / ('more' if index > 9 else '.') / f'{index:02d}.png')
    return folder


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
