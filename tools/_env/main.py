"""Check, then run the stages that are not complete."""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import checks, mmcv_wheel
from .console import Console, SetupError
from .context import ROOT, Context, cache_root
from .stages import Stage, all_stages, drop_interrupted, read_stamp, remaining, write_stamp

SUPPORTED = ('3.10', '3.11', '3.12')


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='setup_env.py', description='Make or complete the environment of the project.'
    )
    parser.add_argument('--venv', type=Path, default=ROOT / '.venv', help='where (default: .venv beside the Makefile)')
    parser.add_argument('--check', action='store_true', help='only say what stands in the way; change nothing')
    parser.add_argument('--need-gb', type=float, help='free disk space to ask for, instead of what was measured')
    return parser.parse_args(arguments)


def problems(stages: list[Stage], venv: Path, need_gb: float | None = None) -> list[str]:
    """What stands in the way of ``stages``, each with its remedy."""
    installed = need_gb if need_gb is not None else sum(stage.installed_gb for stage in stages)
    needs = [('the environment', venv, installed)]
    if need_gb is None:
        needs += [('downloads while they are unpacked', Path(tempfile.gettempdir()), _largest_download(stages))]
        needs += [("pip's cache", _pip_cache(), _cached_downloads(stages))]
    found = [checks.check_writable(venv), checks.check_writable(cache_root())]
    found += checks.check_disk(needs)
    names = {stage.name for stage in stages}
    if 'venv' in names:
        found.append(checks.check_venv_module())
    if 'mmcv' in names:
        found.append(_mmcv_problem())
    return [problem for problem in found if problem]


def _mmcv_problem() -> str | None:
    try:
        problem = checks.check_compiler() if mmcv_wheel.must_compile() else None
    except SetupError as error:
        return str(error)
    return None if problem and mmcv_wheel.offered() else problem


def _largest_download(stages: list[Stage]) -> float:
    return max((stage.download_gb for stage in stages), default=0.0)


def _cached_downloads(stages: list[Stage]) -> float:
    return 0.0 if os.environ.get('PIP_NO_CACHE_DIR') else sum(stage.download_gb for stage in stages)


def _pip_cache() -> Path:
    base = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
    return Path(os.environ.get('PIP_CACHE_DIR') or base / 'pip')


def use_python_of(venv: Path) -> None:
    """Go on under the Python of an environment that exists: wheels must fit it, not the Python on PATH."""
    python = venv / 'bin' / 'python'
    if not os.access(python, os.X_OK) or Path(sys.prefix).resolve() == venv.resolve():
        return
    config = (venv / 'pyvenv.cfg').read_text() if (venv / 'pyvenv.cfg').exists() else ''
    version = re.search(r'^version\w*\s*=\s*(\d+\.\d+)', config, re.MULTILINE)
    if version and version.group(1) not in SUPPORTED:
        raise SetupError(
            f'{venv} was made with Python {version.group(1)}; this project runs on 3.10, 3.11 and 3.12\n'
            '  Remove it and run again, or leave it and choose another place: VENV=... make setup'
        )
    os.execv(python, [str(python), *sys.argv])


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """One set-up at a time for an environment. Commands inherit the lock: it outlives this process if they do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('a') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print('another set-up works on this environment: waiting for it ...', flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def run(arguments: list[str]) -> int:
    """The command. Returns the exit code."""
    options = parse(arguments)
    venv = options.venv.absolute()
    stages = all_stages()
    if not options.check and not remaining(stages, venv):
        return 0
    try:
        use_python_of(venv)
    except SetupError as error:
        print(f'setup: {error}', file=sys.stderr)
        return 1
    found = problems(remaining(stages, venv), venv, options.need_gb)
    for problem in found:
        print(f'setup: {problem}', file=sys.stderr)
    if found or options.check:
        if not found:
            left = ', '.join(stage.name for stage in remaining(stages, venv))
            print(f'nothing stands in the way; left to do: {left or "nothing"}')
        return 1 if found else 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit('setup: stopped'))
    name = hashlib.sha256(str(venv).encode()).hexdigest()[:8]
    try:
        with locked(cache_root() / 'logs' / f'{name}.lock') as lock:
            install(stages, venv, Console(cache_root() / 'logs' / f'setup-{name}.log', len(stages), keep_open=[lock]))
    except SetupError as error:
        print(f'setup: {error}\n  What is complete is kept: run the same command again to go on.', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\nsetup: stopped; run the same command again to go on', file=sys.stderr)
        return 130
    return 0


def install(stages: list[Stage], venv: Path, console: Console) -> None:
    """Run what remains, in order, stamping each stage when it is complete."""
    context = Context(venv, console)
    todo = remaining(stages, venv)  # read again: another set-up may have finished while this one waited
    if not todo:
        return
    console.say(f'setting up {venv} with Python {sys.version.split()[0]}; log: {console.log}')
    for number, stage in enumerate(stages, 1):
        if stage not in todo:
            console.say(f'[{number}/{len(stages)}] {stage.title}: complete')
            continue
        console.begin(number, stage.title)
        drop_interrupted(venv)
        stage.run(context)
        write_stamp(venv, {**read_stamp(venv), stage.name: stage.key(venv)})
        console.end()
