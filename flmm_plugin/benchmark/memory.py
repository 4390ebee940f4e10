"""Memory: the peak of one forward pass, and whether it grows over many steps.

On a GPU it is CUDA's own count; on the CPU the resident set, for a peak that of a process of its own.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import torch

from flmm_plugin.benchmark.forward import FORWARDS
from flmm_plugin.benchmark.inputs import make_inputs
from flmm_plugin.benchmark.subject import Subject
from flmm_plugin.errors import UserError
from flmm_plugin.memory import forget_peak, resident
from flmm_plugin.models.lmms import FrozenLMM
from flmm_plugin.structures import LMMInputs


def peak_memory(way: str, subject: Subject, tokens: int, phrases: int, batch: int) -> dict[str, int]:
    """Bytes resident before a forward pass (``before``) and at most during it (``peak``), in a process of its own.

    What one pass leaves in the allocator would be counted for the next. The processes are forked from one that has
    imported everything and run nothing yet.
    """
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(measure, way, subject, tokens, phrases, batch, torch.get_num_threads()).result()
        except BrokenProcessPool as error:
            raise UserError(
                f'the process that measured {way!r} at {tokens} tokens was killed, most likely for want of memory: '
                'measure shorter sequences (--tokens) or fewer at a time (--batch)'
            ) from error


def measure(way: str, subject: Subject, tokens: int, phrases: int, batch: int, threads: int) -> dict[str, int]:
    """Build, run once and look at this very process."""
    torch.set_num_threads(threads)
    lmm = subject.lmm(tokens, phrases)
    samples = [make_inputs(lmm, tokens, phrases)] * batch
    before = forget_peak()
    FORWARDS[way](lmm, samples)
    return dict(before=before, peak=resident('VmHWM'))


def peak_cuda_memory(way: str, lmm: FrozenLMM, samples: Sequence[LMMInputs]) -> dict[str, int]:
    """The same on a GPU, where PyTorch counts the bytes that tensors take."""
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    return dict(before=before, peak=peak_of(lambda: FORWARDS[way](lmm, samples), 'cuda'))


def peak_of(run: Callable[[], object], device: str) -> int:
    """Bytes at most while ``run`` runs: of tensors on a GPU, else resident, what came before included."""
    if torch.device(device).type == 'cpu':
        forget_peak()
        run()
        return resident('VmHWM')
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated()


def growth(step: Callable[[], object], steps: int, device: str) -> dict[str, Any]:
    """Call ``step`` ``steps`` times, once or more, and look at the memory on the way.

    Returns:
        ``steps``; ``bytes_after_third`` of them, when all that is made but once is there, and ``bytes_after_all``:
        the process' resident set on the CPU, what its tensors take on a GPU; ``growth_percent`` from one to the other.
    """
    third = max(1, steps // 3)
    for _ in range(third):
        step()
    early = held(device)
    for _ in range(steps - third):
        step()
    late = held(device)
    return dict(steps=steps, bytes_after_third=early, bytes_after_all=late, growth_percent=100 * (late / early - 1))


def held(device: str) -> int:
    """Bytes of this process that are resident, or that tensors take on a GPU."""
    return resident('VmRSS') if device == 'cpu' else torch.cuda.memory_allocated()
