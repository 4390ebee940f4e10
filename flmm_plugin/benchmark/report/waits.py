"""Where a training step spends its time, and where it makes the host wait for the device."""

from __future__ import annotations

import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

import flmm_plugin
from flmm_plugin.benchmark.subject import Subject
from flmm_plugin.benchmark.training import losses_and_gradients, make_samples, mix_precisions

TOP = 10  # operations
TORCH = f'{Path(torch.__file__).parent}/'
OURS = f'{Path(flmm_plugin.__file__).parent}/'
WAITED = 'synchronizing CUDA operation'  # in PyTorch's warning


def profile_step(subject: Subject, tokens: int, phrases: int, batch: int) -> dict[str, Any]:
    """One step of ours on a batch in mixed precision, once it is warm.

    Returns:
        ``waits``: how often the host waited for the GPU, by the place in the code (None on a CPU), from the batch to
        its losses; ``ours`` of them lie in this package. ``operations``: the dearest ones, of a GPU its kernels, with
        the milliseconds that they take themselves and the number of their calls.
    """
    model = subject.model(tokens, phrases).train()
    mix_precisions(model)
    images, samples = make_samples(model.lmm, tokens, phrases, batch)
    losses_and_gradients(model, images, samples)
    on_gpu = torch.device(subject.device).type == 'cuda'
    waits: Counter[str] | None = None
    if on_gpu:
        torch.cuda.set_sync_debug_mode('warn')
        with waits_of_host() as waits:
            model.loss(images, samples)
        torch.cuda.set_sync_debug_mode('default')
    # Kernels alone: to sort what the host did of a whole step takes minutes.
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as profiler:
        losses_and_gradients(model, images, samples)
    field = 'self_device_time_total' if on_gpu else 'self_cpu_time_total'
    events = sorted(profiler.key_averages(), key=lambda event: -getattr(event, field))[:TOP]
    return dict(
        **subject.about,
        batch=batch,
        tokens=tokens,
        waits=None if waits is None else dict(waits),
        ours=None if waits is None else sum(count for place, count in waits.items() if place.startswith(OURS)),
        operations=[dict(name=e.key[:80], ms=getattr(e, field) / 1e3, calls=e.count) for e in events],
    )


@contextmanager
def waits_of_host() -> Iterator[Counter[str]]:
    """Inside the block, count the warnings that the host waited for the GPU, by the innermost code outside torch."""
    places: Counter[str] = Counter()

    def note(message: Any, *_: Any, **__: Any) -> None:
        if WAITED not in str(message):
            return
        frames = [f for f in traceback.extract_stack() if not f.filename.startswith(TORCH) and f.filename != __file__]
        frames = [f for f in frames if not f.filename.endswith('/warnings.py')]
        places[f'{frames[-1].filename}:{frames[-1].lineno}'] += 1

    with warnings.catch_warnings():
        warnings.simplefilter('always')
        warnings.showwarning = note  # restored by catch_warnings
        yield places
