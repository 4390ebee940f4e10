"""Counting what a process holds, in one of its own: what other tests have begun would end meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from flmm_plugin.soak.counts import Counts, own_temporary_files


@pytest.mark.skipif(not Path('/proc/self/fd').is_dir(), reason='counts come from /proc')
def test_what_piles_up_is_counted() -> None:
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def pile_up() -> None:
    with own_temporary_files() as folder:
        before = Counts.now()
        done = threading.Event()
        thread = threading.Thread(target=done.wait, daemon=True)
        thread.start()
        with tempfile.NamedTemporaryFile() as file, tempfile.NamedTemporaryFile():
            file.write(b'something')
            file.flush()
            assert Path(file.name).parent == folder and os.environ['GRADIO_TEMP_DIR'] == str(folder)
            block = bytearray(os.urandom(64 * 2**20))
            growth = before.growth_to(Counts.now())
        done.set()
        thread.join()
        assert (growth['descriptors'], growth['threads'], growth['files']) == (2, 1, 1)
        assert abs(growth['memory'] / (100 * len(block) / before.memory) - 1) < 0.2
        after = before.growth_to(Counts.now())
        assert (after['descriptors'], after['threads'], after['files']) == (0, 0, 0)
    assert not folder.exists()


if __name__ == '__main__':
    pile_up()
