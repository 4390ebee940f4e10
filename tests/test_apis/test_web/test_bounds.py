"""What the page keeps of visitors who have been there."""

from __future__ import annotations

import gc
import time
from pathlib import Path

from flmm_plugin.apis.web import build_page, launch_options
from tests.test_apis.test_web.test_endpoints import connect

KEPT = 2
VISITORS = 5


def test_talks_and_requests_of_those_who_were_there_go(inferencer, scenes) -> None:
    from gradio_client import handle_file

    page = build_page(inferencer)
    options = launch_options(max_visitors=KEPT)
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, server_name='127.0.0.1', **options)

    def left() -> tuple[int, int]:
        """Talks, each of which has a folder as long as it lives, and requests."""
        gc.collect()
        folders = [path for path in Path(page.flmm_folder.name).iterdir() if path.name != 'examples']
        return len(folders), len(page._queue.event_ids_to_events)

    try:
        for _ in range(VISITORS):
            client = connect(address)
            client.predict(handle_file(scenes[0]), api_name='/open')
            client.close()
        end = time.monotonic() + 10
        while left() > (KEPT, 1) and time.monotonic() < end:
            time.sleep(0.1)
        talks, requests = left()
        assert talks == KEPT
        assert requests <= 1, 'the last one may still be in the hands of the queue'
        assert not page._queue._asyncio_tasks
        assert len(page._queue.event_analytics) == VISITORS
    finally:
        page.close(verbose=False)
