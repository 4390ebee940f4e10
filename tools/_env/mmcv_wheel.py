"""mmcv has no wheel for current torch releases: find one, or compile it once and keep it.

Tried in this order: the wheel the user names (``FLMM_MMCV_WHEEL``), the one an earlier set-up compiled, one that the
user's own pip configuration offers (``find-links``, an index), and compiling the source package.
A wheel counts only once one of its compiled operators has run.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from .console import CommandError, SetupError
from .context import Context, cache_root, pinned

OPERATOR_PROBE = (
    'import torch; from mmcv.ops import nms;'
    'boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9]]);'
    'kept = nms(boxes, torch.tensor([0.9, 0.8]), 0.5)[1];'
    'assert kept.tolist() == [0], kept'
)
MEMORY_PER_JOB_GB = 2  # one compiler process on mmcv's largest files


def wheel_folder() -> Path:
    """The cache's folder for this Python and the pinned torch: compiled operators fit no other pair."""
    python = f'py{sys.version_info[0]}{sys.version_info[1]}'
    return cache_root() / 'wheels' / f'{python}-torch{pinned("torch", "torch")}'


def user_wheel() -> Path | None:
    """The wheel named by ``FLMM_MMCV_WHEEL``. Raises ``SetupError`` if there is no such file."""
    named = os.environ.get('FLMM_MMCV_WHEEL')
    if not named:
        return None
    path = Path(named).expanduser()
    if not (path.is_file() and path.suffix == '.whl'):
        raise SetupError(f'FLMM_MMCV_WHEEL is not a wheel file: {path}\n  Give the path of a .whl, or unset it.')
    return path


def cached_wheels() -> list[Path]:
    """Wheels of the pinned mmcv that an earlier set-up compiled for this machine, intact or not."""
    pattern = f'mmcv-{pinned("mmcv", "mmcv")}-cp{sys.version_info[0]}{sys.version_info[1]}-*_{platform.machine()}.whl'
    return sorted(wheel_folder().glob(pattern))


def intact(wheel: Path) -> bool:
    try:
        with zipfile.ZipFile(wheel) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False


def must_compile() -> bool:
    """Whether, as far as is known before pip is asked, mmcv has to be compiled."""
    return user_wheel() is None and not any(intact(wheel) for wheel in cached_wheels())


def offered() -> bool:
    """Whether pip, as the user configured it, can get a prebuilt wheel. Asks it, so takes a second."""
    with tempfile.TemporaryDirectory() as folder:
        options = ['--no-deps', '--only-binary', 'mmcv', '--retries', '0', '--quiet', '--dest', folder]
        command = [sys.executable, '-m', 'pip', 'download', *options, f'mmcv=={pinned("mmcv", "mmcv")}']
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0


def install(context: Context) -> None:
    """Put a working mmcv into the environment. Raises ``SetupError`` if none can be had."""
    say = context.console.say
    named = user_wheel()
    if named is not None:
        say(f'      taking {named}')
        if not _install(context, named):
            raise SetupError(
                f'the wheel in FLMM_MMCV_WHEEL does not work with torch {pinned("torch", "torch")}: {named}\n'
                f'  Unset FLMM_MMCV_WHEEL to have one compiled, or see {context.console.log}'
            )
        return
    for wheel in cached_wheels():
        if intact(wheel) and _install(context, wheel):
            say(f'      taken from the cache: {wheel}')
            return
        say(f'      the cached wheel is damaged or does not load; removed: {wheel}')
        wheel.unlink()
    if _install_offered(context):
        say('      pip had a prebuilt wheel')
        return
    wheel = _compile(context)
    if not _install(context, wheel):
        raise SetupError(f'mmcv was compiled but its operators do not run; see the end of {context.console.log}')


def _works(context: Context) -> bool:
    try:
        context.console.run([context.python, '-c', OPERATOR_PROBE])
    except CommandError:
        return False
    return True


def _install(context: Context, wheel: Path) -> bool:
    try:
        context.pip('install', '--no-deps', '--force-reinstall', wheel)
    except CommandError:
        return False
    return _works(context)


def _install_offered(context: Context) -> bool:
    try:
        context.pip('install', '--no-deps', '--only-binary', 'mmcv', f'mmcv=={pinned("mmcv", "mmcv")}')
    except CommandError:
        return False
    return _works(context)


def _compile(context: Context) -> Path:
    """Compile mmcv and move the wheel into the cache, whole or not at all."""
    jobs = os.environ.get('MAX_JOBS') or str(_parallel_jobs())
    context.console.say(f'      compiling, {jobs} at a time; about 9 minutes on 2 cores, kept in {wheel_folder()}')
    env = {'MMCV_WITH_OPS': '1', 'CFLAGS': os.environ.get('CFLAGS', '-O1 -g0'), 'MAX_JOBS': jobs}
    if os.environ.get('FORCE_CUDA') != '1':
        # A visible GPU makes mmcv compile its CUDA operators, which asks for a matching nvcc; the project uses none.
        env['CUDA_VISIBLE_DEVICES'] = ''
    wheel_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='.build-', dir=wheel_folder()) as folder:
        # pip's own cache of built wheels does not know which torch a wheel was compiled for: leave it out.
        options = ['--no-build-isolation', '--no-deps', '--no-cache-dir', '--no-binary', 'mmcv', '--wheel-dir', folder]
        try:
            context.pip('wheel', *options, f'mmcv=={pinned("mmcv", "mmcv")}', env=env)
        except CommandError as error:
            killed = 'Killed' in error.output or ('cc1plus' in error.output and 'signal' in error.output)
            hint = '\n  The compiler ran out of memory: MAX_JOBS=1 make setup' if killed else ''
            raise SetupError(f'mmcv could not be compiled: {error}{hint}') from error
        built = next(Path(folder).glob('mmcv-*.whl'))
        return built.replace(wheel_folder() / built.name)


def _parallel_jobs() -> int:
    """As many compilers as there are cores and free memory for."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    try:
        lines = Path('/proc/meminfo').read_text().splitlines()
    except OSError:
        return cores
    available = next(line for line in lines if line.startswith('MemAvailable'))
    return max(1, min(cores, int(int(available.split()[1]) / 1e6 / MEMORY_PER_JOB_GB)))
