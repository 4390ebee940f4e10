"""What it costs to extract attention maps: the bare LMM, ours and the authors' way, measured in turn."""

from __future__ import annotations

import datetime
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
import transformers

from flmm_plugin.benchmark.forward import FORWARDS, Kept
from flmm_plugin.benchmark.inputs import make_inputs
from flmm_plugin.benchmark.memory import peak_cuda_memory, peak_memory
from flmm_plugin.benchmark.subject import Subject


def extract(
    subject: Subject, tokens: Sequence[int] | None = None, phrases: int = 6, repeats: int = 5, batch: int = 1
) -> dict[str, Any]:
    """Measure every length of ``tokens``, see :meth:`Subject.lengths`, ``batch`` samples at a time.

    Returns:
        The circumstances, and under ``extract`` one dict for each length, see :func:`measure_length`.
    """
    lengths = subject.lengths(tokens, phrases)
    return dict(
        **subject.about,
        batch=batch,
        phrases=phrases,
        repeats=repeats,
        **circumstances(subject.device),
        extract=[measure_length(subject, length, phrases, repeats, batch) for length in lengths],
    )


def measure_length(subject: Subject, tokens: int, phrases: int, repeats: int, batch: int) -> dict[str, Any]:
    """Time, memory and kept bytes of the three ways at one length.

    Ratios are ours to the other, so that 1 is the other's price; ``speedup_vs_eager`` alone is eager's time to ours.
    ``max_difference`` is the largest difference between the maps that ours and eager end up with. What eager has no
    room for on a GPU is None.
    """
    lmm = subject.lmm(tokens, phrases)
    samples = [make_inputs(lmm, tokens, phrases)] * batch
    ways = {name: partial(way, lmm, samples) for name, way in FORWARDS.items()}
    kept, difference = compare(ways)
    ways = {name: ways[name] for name in kept}
    seconds = interleaved(ways, repeats)
    if subject.device == 'cpu':
        memory = {way: peak_memory(way, subject, tokens, phrases, batch) for way in ways}
    else:
        memory = {way: peak_cuda_memory(way, lmm, samples) for way in ways}
    peaks = {way: found['peak'] for way, found in memory.items()}
    eager = 'eager' in ways
    return dict(
        tokens=tokens,
        image_tokens=int((samples[0].input_ids == lmm.image_token_id).sum()),
        time_vs_bare=seconds['ours'] / seconds['bare'],
        peak_memory_vs_bare=peaks['ours'] / peaks['bare'],
        speedup_vs_eager=seconds['eager'] / seconds['ours'] if eager else None,
        kept_bytes_vs_eager=kept['ours'] / kept['eager'] if eager else None,
        seconds=seconds,
        peak_bytes=peaks,
        bytes_before={way: found['before'] for way, found in memory.items()},
        kept_bytes=kept,
        max_difference=difference,
    )


def compare(ways: Mapping[str, Callable[[], Kept]]) -> tuple[dict[str, int], float | None]:
    """Run each way once, which also warms it up: bytes kept by each, and how far apart ours and eager are.

    Eager is left out where a GPU has no room for it.
    """
    kept: dict[str, int] = {}
    maps = []
    for name, way in ways.items():
        try:
            result = way()
        except torch.cuda.OutOfMemoryError:
            if name != 'eager':
                raise
            torch.cuda.empty_cache()
            continue
        kept[name] = result.num_bytes
        if result.maps:
            maps.append(result.maps)
    if len(maps) < 2:
        return kept, None
    return kept, max((ours - eager).abs().max().item() for ours, eager in zip(*maps, strict=True))


def interleaved(ways: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each way. They take turns, in another order each round, so that drifts hit all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for number in range(repeats):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            synchronize()
            begin = time.perf_counter()
            ways[name]()
            synchronize()
            seconds[name].append(time.perf_counter() - begin)
    return {name: median(times) for name, times in seconds.items()}


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def circumstances(device: str) -> dict[str, Any]:
    """Without which no figure means anything."""
    machine = platform.processor() or platform.machine()
    cpuinfo = Path('/proc/cpuinfo')
    if cpuinfo.exists():
        models = [line.partition(':')[2].strip() for line in cpuinfo.read_text().splitlines() if 'model name' in line]
        machine = models[0] if models else machine
    if device != 'cpu':
        machine = torch.cuda.get_device_name(device)
    return dict(
        device=device,
        machine=machine,
        cores=os.cpu_count(),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        transformers=transformers.__version__,
        date=datetime.date.today().isoformat(),
    )


def table(result: dict[str, Any]) -> str:
    """The result as a Markdown table."""
    header = (
        '| tokens | bare | ours | eager | time: ours / bare | eager / ours '
        '| peak: bare | ours | eager | ours / bare | kept: ours | eager |'
    )
    lines = [header, '|' + ' ---: |' * 12]
    for row in result['extract']:
        seconds, peaks, kept = row['seconds'], row['peak_bytes'], row['kept_bytes']
        cells = [str(row['tokens'])]
        cells += [cell(seconds.get(way), '{:.3g} s') for way in FORWARDS]
        cells += [cell(row['time_vs_bare'], '{:.3f}'), cell(row['speedup_vs_eager'], '{:.1f}')]
        cells += [cell(peaks.get(way), '{:.2f} GB', 1e9) for way in FORWARDS]
        cells += [cell(row['peak_memory_vs_bare'], '{:.3f}'), cell(kept['ours'], '{:.1f} MB', 1e6)]
        cells += [cell(kept.get('eager'), '{:.0f} MB', 1e6)]
        lines.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def cell(value: float | None, form: str, unit: float = 1.0) -> str:
    """A figure, or that there was no room for it."""
    return 'no room' if value is None else form.format(value / unit)
