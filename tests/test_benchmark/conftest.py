"""Configs of tiny models, written as a user writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from flmm_plugin.benchmark.subject import ConfigSubject
from tests.tiny_flmm import tiny_flmm
from tests.tiny_lmms import FAMILIES

WriteConfig = Callable[..., ConfigSubject]


@pytest.fixture(scope='session')
def family_dirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder with a tiny random LMM of each family."""
    return {name: save(tmp_path_factory.mktemp(name)) for name, (save, _) in FAMILIES.items()}


@pytest.fixture
def write_config(family_dirs: dict[str, Path], tmp_path: Path) -> WriteConfig:
    """Writes a config of a family's LMM with these options, and names it; further arguments are the FLMM's."""

    def write(family: str = 'llava', options: Mapping[str, Any] | None = None, **changes: Any) -> ConfigSubject:
        lmm = dict(type=FAMILIES[family][1], pretrained=str(family_dirs[family]), **(options or {}))
        path = tmp_path / 'tiny.py'
        Config(dict(model=tiny_flmm('', **{'lmm': lmm, **changes}))).dump(path)
        return ConfigSubject(str(path))

    return write
