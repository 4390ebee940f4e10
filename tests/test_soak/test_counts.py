"""Counting what a process holds."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path

import pytest

from flmm_plugin.soak.counts import Counts, own_temporary_files

pytestmark = pytest.mark.skipif(not Path('/proc/self/fd').is_dir(), reason='counts come from /proc')


def test_what_piles_up_is_counted() -> None:
    with own_temporary_files() as folder:
        before = Counts.now()
        done = threading.Event()
        thread = threading.Thread(target=done.wait)
        thread.start()
        with tempfile.NamedTemporaryFile() as file:
            assert Path(file.name).parent == folder and os.environ['GRADIO_TEMP_DIR'] == str(folder)
            block = bytearray(os.urandom(64 * 2**20))
            growth = before.growth_to(Counts.now())
        done.set()
        thread.join()
        assert (growth['descriptors'], growth['threads'], growth['files']) == (1, 1, 1)
        assert growth['memory'] == pytest.approx(100 * len(block) / before.memory, rel=0.2)
        after = before.growth_to(Counts.now())
        assert (after['descriptors'], after['threads'], after['files']) == (0, 0, 0)
    assert not folder.exists()
