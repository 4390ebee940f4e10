"""Where the time of a training step goes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any

from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from flmm_plugin.benchmark.extract import synchronize
from flmm_plugin.models.flmm import FLMM


def break_down(
    model: FLMM, images: Sequence[Tensor], samples: Sequence[BaseDataElement], repeats: int
) -> dict[str, dict[str, float]]:
    """Median milliseconds (``ms``) and ``percent`` of the whole, part by part.

    ``data`` is what the training process itself does to pictures and texts (files are read by the data loader's
    workers), ``SAM decoder`` includes its prompts, ``rest`` is what none of the parts holds; without a
    refiner its two are left out. Parts are told apart by waiting for the device at their ends, so that together they
    may take longer than an undisturbed step.
    """
    rounds = [time_parts(model, images, samples) for _ in range(repeats)]
    ms = {name: 1000 * median(spent[name] for spent in rounds) for name in rounds[0]}
    total = sum(ms.values())
    return {name: dict(ms=value, percent=100 * value / total) for name, value in ms.items()}


def time_parts(model: FLMM, images: Sequence[Tensor], samples: Sequence[BaseDataElement]) -> dict[str, float]:
    """Seconds of each part in one step."""
    parts = {
        'data': (model, 'prepare'),
        'LMM': (model.lmm, 'forward'),
        'U-Net': (model.mask_head, 'forward'),
        'SAM encoder': (model.sam, 'encode_images'),
        'SAM decoder': (model.sam, 'refine'),
        'losses': (model.losses, 'forward'),
    }
    parts = {name: part for name, part in parts.items() if part[0] is not None}
    model.zero_grad()
    spent = dict.fromkeys(parts, 0.0)
    with ExitStack() as stack:
        for name, (owner, method) in parts.items():
            stack.enter_context(timed(owner, method, spent, name))
        begin = now()
        loss = model.parse_losses(model.loss(images, samples))[0]
        forward = now() - begin
    begin = now()
    loss.backward()
    return dict(**spent, backward=now() - begin, rest=forward - sum(spent.values()))


@contextmanager
def timed(owner: nn.Module, method: str, spent: dict[str, float], name: str) -> Iterator[None]:
    """Inside the block, add the seconds of every call of ``owner.method`` to ``spent[name]``."""
    call = getattr(owner, method)

    def measured(*args: Any, **kwargs: Any) -> Any:
        begin = now()
        result = call(*args, **kwargs)
        spent[name] += now() - begin
        return result

    setattr(owner, method, measured)
    try:
        yield
    finally:
        delattr(owner, method)


def now() -> float:
    """Seconds, once the device has done all that it was given."""
    synchronize()
    return time.perf_counter()
