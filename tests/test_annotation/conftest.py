"""The trained tiny model, and the tool as a user runs it."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from flmm_plugin.apis import FLMMInferencer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='session')
def ask() -> FLMMInferencer:
    return FLMMInferencer.from_pretrained('flmm_plugin::tiny_flmm', 'cpu', extractor=dict(type='RulePhrases'))


def command(*words: str | Path) -> list[str]:
    return [
        *(sys.executable, str(ROOT / 'tools/annotate.py')),
        *('--extractor', 'rules', '--device', 'cpu', '--batch-size', '4', *map(str, words)),
    ]


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Runs the tool in this process: starting Python and torch anew takes longer than everything it does."""

    def run(*words: str | Path) -> Done:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, 'argv', command(*words)[1:])
        code = 0
        try:
            runpy.run_path(sys.argv[0], run_name='__main__')
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        printed = capsys.readouterr()
        return Done(code, printed.out, printed.err)

    return run
