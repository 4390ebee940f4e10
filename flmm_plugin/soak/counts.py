"""What a process holds: file descriptors, threads, memory, temporary files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest.mock import patch

from flmm_plugin.errors import UserError
from flmm_plugin.memory import give_reserve_back, resident

PROCESS = Path('/proc/self')


@dataclass(frozen=True)
class Counts:
    """``memory`` in bytes, resident when the allocator has given back what it keeps in reserve.

    glibc keeps freed memory in an arena for each of up to eight threads a core, which looks like a leak for an hour.
    ``files``: temporary ones that hold something; gr.File of Gradio 6.10 leaves an empty one for each upload.
    """

    descriptors: int
    threads: int
    memory: int
    files: int

    @classmethod
    def now(cls) -> Counts:
        """Those of this process.

        Raises:
            UserError: the system does not tell.
        """
        if not (PROCESS / 'fd').is_dir():
            raise UserError('descriptors and threads are counted in /proc, which this system does not have')
        give_reserve_back()
        return cls(
            descriptors=len(os.listdir(PROCESS / 'fd')),
            threads=len(os.listdir(PROCESS / 'task')),
            memory=resident('VmRSS'),
            files=len(temporary_files(Path(tempfile.gettempdir()))),
        )

    def growth_to(self, later: Counts) -> dict[str, float]:
        """What there is more of later: counts, but memory in percent."""
        grown: dict[str, float] = {name: asdict(later)[name] - value for name, value in asdict(self).items()}
        return {**grown, 'memory': 100 * grown['memory'] / self.memory}


def temporary_files(folder: Path) -> list[Path]:
    """The files below a folder that hold something; others may be deleting some."""
    found = []
    for path in folder.rglob('*'):
        with suppress(FileNotFoundError):
            if path.is_file() and path.stat().st_size:
                found.append(path)
    return found


@contextmanager
def own_temporary_files() -> Iterator[Path]:
    """Inside the block, all temporary files of this process, Gradio's too, are made in a folder of their own."""
    with tempfile.TemporaryDirectory(prefix='flmm_soak_', ignore_cleanup_errors=True) as folder:
        names = dict.fromkeys(('TMPDIR', 'GRADIO_TEMP_DIR'), folder)
        with patch.dict(os.environ, names), patch.object(tempfile, 'tempdir', folder):
            yield Path(folder)
