"""Tiny models of each family, built once a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny_lmms import FAMILIES


@pytest.fixture(scope='session')
def lmm_dirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder with a tiny random LMM of each family."""
    return {name: save(tmp_path_factory.mktemp(name)) for name, (save, _) in FAMILIES.items()}
