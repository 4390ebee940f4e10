"""Tiny models of each family, built once a session."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from flmm_plugin.benchmark.plain_losses import stand_in_for_mmdet
from tests.tiny_lmms import FAMILIES

# On a bare machine with a GPU these tests run without mmcv and mmdet.
stand_in_for_mmdet()
collect_ignore = ['test_numbers.py'] if find_spec('mmcv') is None else []


@pytest.fixture(scope='session')
def lmm_dirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder with a tiny random LMM of each family."""
    return {name: save(tmp_path_factory.mktemp(name)) for name, (save, _) in FAMILIES.items()}
