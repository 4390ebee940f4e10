"""What can be known to fail before anything is downloaded. Each check returns one problem, or none."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterable
from pathlib import Path

GB = 1e9


def existing_parent(path: Path) -> Path:
    """The nearest folder at or above ``path`` that exists: the disk that ``path`` will lie on."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def check_disk(needs: Iterable[tuple[str, Path, float]]) -> list[str]:
    """``needs``: (what, where, GB). Needs on the same file system add up."""
    by_device: dict[int, list[tuple[str, Path, float]]] = {}
    for what, where, size in needs:
        by_device.setdefault(existing_parent(where).stat().st_dev, []).append((what, where, size))
    problems = []
    for items in by_device.values():
        needed = sum(size for _, _, size in items)
        free = shutil.disk_usage(existing_parent(items[0][1])).free / GB
        if free >= needed:
            continue
        parts = '\n'.join(f'    {size:5.1f} GB  {what}: {where}' for what, where, size in items)
        problems.append(
            f'too little disk space: {needed:.1f} GB needed, {free:.1f} GB free\n{parts}\n'
            '  Free some, or move a part to another disk: VENV=/big/disk/venv make setup for the environment,\n'
            "  TMPDIR=... for downloads, PIP_CACHE_DIR=... for pip's cache (PIP_NO_CACHE_DIR=1 does without)."
        )
    return problems


def check_compiler() -> str | None:
    """Compile three lines against Python's headers, as building mmcv will. Returns the problem, or None."""
    cxx = shlex.split(os.environ.get('CXX') or 'c++')
    cc = shlex.split(os.environ.get('CC') or sysconfig.get_config_var('CC') or 'cc')
    absent = [command[0] for command in (cc, cxx) if shutil.which(command[0]) is None]
    version = sysconfig.get_python_version()
    remedy = (
        f'  Debian/Ubuntu: apt install g++ python{version}-dev    Fedora: dnf install gcc-c++ python{version}-devel\n'
        '  conda: conda install gxx_linux-64    macOS: xcode-select --install\n'
        '  Or use a wheel of mmcv that you have: FLMM_MMCV_WHEEL=/path/to/mmcv.whl make setup'
    )
    if absent:
        return f'no C++ compiler: {", ".join(absent)} not found, and mmcv must be compiled here once\n{remedy}'
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / 'probe.cpp'
        source.write_text('#include <Python.h>\n#include <vector>\nint main() { return 0; }\n')
        include = sysconfig.get_path('include')
        result = subprocess.run(
            [*cxx, '-std=c++17', f'-I{include}', '-fsyntax-only', str(source)], capture_output=True, text=True
        )
    if result.returncode == 0:
        return None
    what = f"Python's headers are missing ({include}/Python.h)" if 'Python.h' in result.stderr else 'it does not work'
    first = next(iter(result.stderr.strip().splitlines()), '')
    return f'the compiler {cxx[0]} cannot build mmcv: {what}\n  {first}\n{remedy}'


def check_writable(folder: Path) -> str | None:
    """Whether files can be made in ``folder`` (which need not exist yet). Returns the problem, or None."""
    parent = existing_parent(folder)
    if os.access(parent, os.W_OK):
        return None
    return f'cannot write to {parent}: change its permissions, or choose another place (VENV=..., FLMM_CACHE=...)'


def check_venv_module() -> str | None:
    """Debian's python3 comes without ensurepip, and then makes no virtual environment. Returns the problem, or None."""
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        version = sysconfig.get_python_version()
        return f'this Python makes no virtual environments\n  Debian/Ubuntu: apt install python{version}-venv'
    return None
