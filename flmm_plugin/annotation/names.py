"""Names whose masks are wanted: the same for all pictures, or some for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flmm_plugin.datasets.sources import Source, text_lines
from flmm_plugin.errors import DataError, UserError
from flmm_plugin.plain_json import parse_json
from flmm_plugin.texts import says_something


def read_phrases(path: str, sources: Sequence[Source]) -> dict[str, tuple[str, ...]]:
    """The names for each picture.

    Args:
        path: a text file with a name a line, for all pictures; or JSON, an object with a list of names a picture.

    Raises:
        DataError: names the file and the picture.
    """
    file = Path(path)
    if not file.is_file():
        raise DataError(f'there is no file of phrases {path}')
    if file.suffix != '.json':
        names = tuple(text_lines(file))
        if not names:
            raise DataError(f'{path} has no name in it')
        return {source.name: names for source in sources}
    content = parse_json(file.read_bytes(), path)
    if not isinstance(content, dict):
        raise DataError(f'{path} must be an object with a list of names for each picture')
    found = {}
    for source in sources:
        own = content.get(source.name)
        if (
            not isinstance(own, list)
            or not own
            or not all(isinstance(name, str) and says_something(name) for name in own)
        ):
            raise DataError(f'{path} has no list of names, none of them empty, for the picture {source.name}')
        found[source.name] = tuple(name.strip() for name in own)
    return found


def check_same_phrases(records: Iterable[Mapping[str, Any]], names: Mapping[str, Sequence[str]]) -> None:
    """Raise :class:`UserError` where a picture was annotated by other names than those for it now."""
    for record in records:
        picture, kept = record['file_name'], [phrase['text'] for phrase in record.get('phrases', ())]
        if 'error' not in record and picture in names and kept != list(names[picture]):
            raise UserError(
                f'the results of another run are there (the names for {picture}: {kept} there, {list(names[picture])} '
                'now): choose another folder'
            )
