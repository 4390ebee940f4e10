"""How many pictures fit into memory together.

The rule: 1, 2, 4, ... pictures are annotated for trial, as long as twice what the last trial took at most would fit
into the room, which is 80 % of what was free before or what the caller gives; the last size is taken. A GPU that is
full all the same halves it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from flmm_plugin.apis.annotated import Picture, read_picture, run
from flmm_plugin.apis.inferencer import FLMMInferencer
from flmm_plugin.memory import available, forget_peak, give_reserve_back, resident

SHARE = 0.8
MOST = 64


@dataclass(frozen=True)
class Room:
    """``size``: bytes that may be taken beside the ``held`` ones; ``peak`` of bytes held since ``begin``."""

    size: float
    held: int
    begin: Callable[[], object]
    peak: Callable[[], int]

    @classmethod
    def of(cls, device: str, size: float | None = None) -> Room:
        """The room of a device, 80 % of what is free there by default; processes of this machine share the CPU's.

        Raises:
            UserError: the system does not tell what is free.
        """
        if torch.device(device).type == 'cuda':
            held = torch.cuda.memory_allocated(device)
            kept = torch.cuda.memory_reserved(device) - held
            free = torch.cuda.mem_get_info(device)[0] + kept if size is None else 0
            peaks = torch.cuda.reset_peak_memory_stats, torch.cuda.max_memory_allocated
            return cls(size or SHARE * free, held, lambda: peaks[0](device), lambda: peaks[1](device))
        give_reserve_back()
        free = available() // int(os.environ.get('LOCAL_WORLD_SIZE', 1)) if size is None else 0

        def begin() -> None:
            give_reserve_back()  # what the last trial freed would not be counted again
            forget_peak()

        return cls(size or SHARE * free, resident('VmRSS'), begin, lambda: resident('VmHWM'))


def double(attempt: Callable[[int], bool], room: Room, most: int = MOST) -> int:
    """The largest power of two up to ``most`` with which an attempt stays within the room; 1 at least.

    Args:
        attempt: work on so many at once; whether there were as many.
    """
    size = 1
    while True:
        room.begin()
        try:
            more = attempt(size)
        except Exception:  # too much, or a picture that cannot be answered: the run itself will say so
            torch.cuda.empty_cache()
            return max(1, size // 2)
        if not more or 2 * (room.peak() - room.held) > room.size or 2 * size > most:
            return size
        size *= 2


def find_batch_size(
    ask: FLMMInferencer, pictures: Iterable[Picture], room: Room, generation: Mapping[str, Any], most: int = MOST
) -> int:
    """The batch size by trials on the first readable ``pictures``, whose results are thrown away."""
    coming = ((picture, read_picture(picture, ask.max_pixels)) for picture in pictures)
    readable = (pair for pair in coming if isinstance(pair[1], Tensor))
    batch: list[tuple[Picture, Any]] = []

    def attempt(size: int) -> bool:
        batch.extend(islice(readable, size - len(batch)))
        if batch:
            run(ask.grounder, batch, generation)
        return len(batch) == size

    return double(attempt, room, most)
