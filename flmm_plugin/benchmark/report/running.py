"""Parts of a report, each in a process of its own that ends in time and leaves what it had."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from flmm_plugin.plain_json import to_json

#: Keeps a result by its name; one of the same name takes the place of the former.
Keep = Callable[[str, dict[str, Any]], None]
Part = Callable[[Any, Keep], None]
KILLED_AFTER = 5.0  # seconds that a part has to end once it was told to


def run_parts(
    parts: Mapping[str, Part],
    settings: Any,
    shares: Mapping[str, float],
    seconds: float,
    report: dict[str, Any],
    out: Path,
) -> dict[str, Any]:
    """Run the parts in turn and write ``report`` to ``out`` whenever one of them has ended.

    Args:
        settings: what each part is called with.
        shares: of the time, of each part. What one of them leaves, those after it have.
        seconds: that all of them may take.

    Returns:
        The report, with a dict under ``parts`` for each: ``status`` (``done``, ``ran out of its N seconds`` or what
        went wrong), ``seconds``, and ``results`` by name, whatever of them there is.
    """
    report['parts'] = {}
    write(report, out)
    end, names = time.monotonic() + seconds, list(parts)
    for index, name in enumerate(names):
        print(f'{name} ...', flush=True)
        limit = (end - time.monotonic()) * shares[name] / sum(shares[later] for later in names[index:])
        report['parts'][name] = found = run_part(parts[name], settings, limit, notes_of(name, out))
        write(report, out)
        print(f'{name}: {found["status"]}, {found["seconds"]:.0f} s', flush=True)
    return report


def notes_of(part: str, out: Path) -> Path:
    """The file of what a part has while it runs; it stays beside the report where the whole run is cut off."""
    return out.with_suffix(f'.{part}.jsonl')


def write(report: dict[str, Any], out: Path) -> None:
    """At once, so that a run that is cut off leaves one report or the other."""
    beside = out.with_suffix('.part')
    beside.write_text(to_json(report, indent=1))
    beside.replace(out)


def run_part(part: Part, settings: Any, limit: float, notes: Path) -> dict[str, Any]:
    """Run one part; what it keeps goes through the file ``notes``, which is removed afterwards."""
    notes.unlink(missing_ok=True)
    context = multiprocessing.get_context('spawn')  # what is imported may touch CUDA, which no fork survives
    process = context.Process(target=work, args=(part, settings, str(notes)))
    begin = time.monotonic()
    process.start()
    process.join(limit)
    late = process.is_alive()
    if late:
        stop(process)
    seconds = time.monotonic() - begin
    results, error = read(notes)
    notes.unlink(missing_ok=True)
    status = 'done'
    if late:
        status = f'ran out of its {limit:.0f} seconds'
    elif error is not None:
        status = error
    elif process.exitcode != 0:
        status = f'its process ended with {process.exitcode}'
    return dict(status=status, seconds=seconds, results=results)


def work(part: Part, settings: Any, notes: str) -> None:
    """In the part's own process, which leads a group of all that it starts."""
    os.setsid()

    def keep(name: str, result: dict[str, Any]) -> None:
        with open(notes, 'a') as file:
            file.write(to_json(dict(name=name, result=result)) + '\n')

    try:
        part(settings, keep)
    except Exception as error:  # the other parts are measured all the same
        traceback.print_exc()
        with open(notes, 'a') as file:
            file.write(to_json(dict(error=described(error))) + '\n')


def described(error: Exception) -> str:
    """In a line."""
    return f'{type(error).__name__}: {error}'.splitlines()[0][:300]


def stop(process: Any) -> None:
    """End a part and all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        process.join(KILLED_AFTER)
        if not process.is_alive():
            return


def read(notes: Path) -> tuple[dict[str, Any], str | None]:
    """Results by name and the error, of what was written whole."""
    results: dict[str, Any] = {}
    error = None
    for line in notes.read_text().splitlines() if notes.exists() else []:
        with suppress(json.JSONDecodeError):  # cut off in mid-line
            note = json.loads(line)
            if 'error' in note:
                error = note['error']
            else:
                results[note['name']] = note['result']
    return results, error
