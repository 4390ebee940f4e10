"""Memory: what this process holds, what it held at most, and what is left for it."""

from __future__ import annotations

import ctypes
import resource
import sys
from contextlib import suppress
from pathlib import Path

from flmm_plugin.errors import UserError

STATUS = Path('/proc/self/status')
MEMINFO = Path('/proc/meminfo')
#: What the container may take and takes, by cgroup v2 and v1.
CGROUPS = (
    ('/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory.current'),
    ('/sys/fs/cgroup/memory/memory.limit_in_bytes', '/sys/fs/cgroup/memory/memory.usage_in_bytes'),
)


def resident(name: str) -> int:
    """Bytes of this process that are resident: ``VmRSS`` now, ``VmHWM`` at most; at most wherever there is no /proc."""
    if STATUS.exists():
        (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(f'{name}:'))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == 'darwin' else 1024)


def forget_peak() -> int:
    """Let the peak count from here, where the system can; returns the bytes resident now."""
    with suppress(OSError):  # the peak then includes that of what came before
        Path('/proc/self/clear_refs').write_text('5')
    return resident('VmRSS')


def give_reserve_back() -> None:
    """Let glibc's allocator return what is freed to the system; other allocators do as they like."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def available() -> int:
    """Bytes that may be taken besides: what the machine has left, or the container where that is less.

    Raises:
        UserError: the system does not tell.
    """
    if not MEMINFO.exists():
        raise UserError('this system does not tell how much memory is left (/proc/meminfo): give numbers')
    (line,) = (line for line in MEMINFO.read_text().splitlines() if line.startswith('MemAvailable:'))
    left = [int(line.split()[1]) * 1024]
    for most, taken in CGROUPS:
        with suppress(OSError, ValueError):  # no such cgroup, or 'max'
            left.append(int(Path(most).read_text()) - int(Path(taken).read_text()))
    return max(min(left), 0)
