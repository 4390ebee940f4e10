"""JSON that every reader takes, which knows no NaN and no infinity, and JSON as others write it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from flmm_plugin.errors import DataError


def parse_json(
    content: bytes, source: str, encodings: Sequence[str] = (), remedy: str = 'download or write it again'
) -> Any:
    """Parse JSON in UTF-8, UTF-16 or UTF-32, with or without a byte-order mark, or in the first of ``encodings``.

    Raises:
        DataError: damaged; the message begins with ``source`` and ends with the ``remedy``.
    """
    try:
        with suppress(UnicodeDecodeError):
            return json.loads(content, object_pairs_hook=unambiguous)
        for encoding in encodings:
            with suppress(UnicodeDecodeError):
                return json.loads(content.decode(encoding), object_pairs_hook=unambiguous)
        raise DataError(f'{source} is not JSON (its text is not in UTF-8): {remedy}.')
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f'{source} is not JSON ({error}): {remedy}.') from error


def unambiguous(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, whose fields are there once, or twice with the same value."""
    found = dict(pairs)
    if len(found) < len(pairs):
        for key, value in pairs:
            if found[key] != value:
                raise ValueError(f'an object has two different {key!r:.40}')
    return found


def parse_lines(lines: Iterable[bytes], source: str, **options: Any) -> Iterator[tuple[str, Any]]:
    """The values of JSON lines, each with its place, as errors name it; blank lines are none.

    Lines are bytes, which end at line feeds alone: text ends at rare separators too, which JSON may hold.

    Args:
        options: see :func:`parse_json`.

    Raises:
        DataError: a line is not JSON.
    """
    for number, line in enumerate(lines, 1):
        if line.strip():
            where = f'{source}, line {number}'
            yield where, parse_json(line, where, **options)


def to_json(value: Any, **options: Any) -> str:
    """``json.dumps`` with null in place of numbers that are NaN or infinite."""
    return json.dumps(finite(value), allow_nan=False, **options)


def write_json(path: Path, value: Any, **options: Any) -> None:
    """:func:`to_json` into a file that is whole at any moment, whoever reads it or writes it as well."""
    partial = path.with_name(f'{path.name}.{os.getpid()}.part')
    try:
        partial.write_text(to_json(value, **options) + '\n')
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def finite(value: Any) -> Any:
    """``value`` with None in place of floats that are NaN or infinite, whatever dicts, lists and tuples hold them."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
