"""What the page keeps of its visitors, bounded.

Gradio keeps the session of a visitor who has left for an hour, with the talk in it, and up to 10,000 sessions for ever.
Its queue keeps every request it ever had, with connection and payload (gradio-app/gradio issues 13154 and 11602; the
releases in which that is mended ask for huggingface-hub 1, which transformers 4 refuses), and the task that served it:
one that was cancelled holds the frames that it was in.
"""

from __future__ import annotations

import asyncio
import math
from types import SimpleNamespace
from typing import Any
from weakref import WeakValueDictionary

import gradio as gr
from gradio.utils import LRUCache

#: Whose talks are kept: those who were active last. One more, and the one who was idle the longest begins anew.
MAX_VISITORS = 50
#: Lines for Gradio's own statistics, far more than can wait.
MAX_STATISTICS = 1000


class RunningEvents(WeakValueDictionary[str, Any]):
    """The queue's events by their ids, as long as they wait or run."""

    def __getitem__(self, key: str) -> Any:
        """The event; of one that has ended a stand-in, which Gradio tells that its visitor has gone."""
        return self.get(key) or SimpleNamespace(run_time=math.inf, signal=asyncio.Event())


class RunningTasks(list[asyncio.Task]):
    """The queue's tasks until they are done."""

    def append(self, task: asyncio.Task) -> None:
        super().append(task)
        task.add_done_callback(self.remove)


def bound_queue(page: gr.Blocks) -> gr.Blocks:
    """Let the page's queue forget what is done. Call it before the page is launched."""
    queue = page._queue
    queue.event_ids_to_events = RunningEvents()  # type: ignore[assignment]
    queue._asyncio_tasks = RunningTasks()
    queue.event_analytics = LRUCache(MAX_STATISTICS)
    return page
