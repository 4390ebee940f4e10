"""Where things are, and pip: what every stage needs to know."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from .console import Console, SetupError

ROOT = Path(__file__).resolve().parents[2]


def cache_root() -> Path:
    """Kept between clones: the compiled mmcv and the logs. ``FLMM_CACHE`` moves it."""
    return Path(os.environ.get('FLMM_CACHE') or Path.home() / '.cache' / 'flmm_plugin').absolute()


def requirements(name: str) -> Path:
    return ROOT / 'requirements' / f'{name}.txt'


def pinned(name: str, package: str) -> str:
    """The version that ``requirements/<name>.txt`` pins ``package`` to."""
    match = re.search(rf'^{re.escape(package)}==(\S+)$', requirements(name).read_text(), re.MULTILINE)
    if match is None:
        raise SetupError(f'{requirements(name)} pins no version of {package}: add a line {package}==...')
    return match.group(1)


@dataclass(frozen=True)
class Context:
    """``venv``: the environment being made. ``console`` runs its commands."""

    venv: Path
    console: Console

    @property
    def python(self) -> Path:
        return self.venv / 'bin' / 'python'

    def pip(self, *arguments: str | Path, env: dict[str, str] | None = None) -> None:
        command = [self.python, '-m', 'pip', *arguments]
        self.console.run(command, {'PIP_DISABLE_PIP_VERSION_CHECK': '1', 'PIP_NO_INPUT': '1', **(env or {})})
