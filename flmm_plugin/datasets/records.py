"""Reading records: objects of JSON files and pickles, whose fields have a type or are an error that names them.

Every data set reads its files through :class:`Record` and :class:`Table`, never by bare keys.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from mmengine.fileio import get

from flmm_plugin.errors import DataError
from flmm_plugin.plain_json import parse_json
from flmm_plugin.texts import says_something

Id = int | str


@dataclass(frozen=True)
class Record:
    """An object with fields. ``where``: the file and the record, as errors name it."""

    content: Mapping[str, Any]
    where: str

    @classmethod
    def of(cls, value: Any, where: str) -> Record:
        """A record of a parsed value, which may turn out to be something else."""
        if not isinstance(value, Mapping):
            raise DataError(f'{where} is {reprlib.repr(value)}, where an object with fields is meant.')
        return cls(value, where)

    def __contains__(self, field: str) -> bool:
        return field in self.content

    def value(self, field: str) -> Any:
        if field not in self.content:
            raise DataError(f'{self.where} has no {field!r}.')
        return self.content[field]

    def wrong(self, field: str, expected: str) -> DataError:
        return DataError(f'{self.where}: {field!r} is {reprlib.repr(self.content[field])}, expected {expected}.')

    def text(self, field: str) -> str:
        """Text, possibly blank."""
        value = self.value(field)
        if not isinstance(value, str):
            raise self.wrong(field, 'text')
        if not value.isascii() and value.encode('utf-8', 'replace').decode() != value:
            raise self.wrong(field, 'text of whole characters')  # halves of one, which no tokenizer takes
        return value

    def words(self, field: str) -> str:
        """Text that says something, without space around."""
        value = self.text(field).strip()
        if not says_something(value):
            raise self.wrong(field, 'text that is not blank')
        return value

    def several_words(self, field: str) -> list[str]:
        """A text that says something, or a list of such."""
        if isinstance(self.value(field), str):
            return [self.words(field)]
        numbered = enumerate(self.items(field), 1)
        return [Record({field: one}, f'{self.where}: number {number}').words(field) for number, one in numbered]

    def whole(self, field: str, least: int | None = None) -> int:
        """A whole number, as PNG's files have it in text too."""
        number = as_whole(self.value(field))
        if number is None or (least is not None and number < least):
            raise self.wrong(field, 'a whole number' + (f' from {least} on' if least is not None else ''))
        return number

    def identity(self, field: str = 'id') -> Id:
        """A whole number or a text, by which records refer to each other."""
        identity = as_identity(self.value(field))
        if identity is None:
            raise self.wrong(field, 'a whole number or a name')
        return identity

    def identities(self, field: str) -> list[Id]:
        """Of one record or a list of them."""
        value = self.value(field)
        found = [as_identity(one) for one in (value if isinstance(value, (list, tuple)) else [value])]
        if None in found:
            raise self.wrong(field, 'whole numbers or names')
        return [identity for identity in found if identity is not None]

    def number(self, field: str) -> float:
        """A finite number."""
        value = self.value(field)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1 << 63:
            raise self.wrong(field, 'a number')
        return float(value)

    def flag(self, field: str, default: bool | None = None) -> bool:
        """Yes or no, in JSON's words or as 1 and 0."""
        if default is not None and field not in self.content:
            return default
        value = self.value(field)
        if not isinstance(value, (bool, int, float)) or value not in (0, 1):
            raise self.wrong(field, 'true or false')
        return bool(value)

    def wholes(self, field: str) -> list[int]:
        """A list of whole numbers."""
        found = [as_whole(value) for value in self.items(field)]
        if None in found:
            raise self.wrong(field, 'a list of whole numbers')
        return [number for number in found if number is not None]

    def items(self, field: str) -> list[Any]:
        value = self.value(field)
        if not isinstance(value, (list, tuple)):
            raise self.wrong(field, 'a list')
        return list(value)

    def records(self, field: str, what: str) -> list[Record]:
        """The objects in a list; ``what`` one of them is called."""
        values = enumerate(self.items(field), 1)
        return [Record.of(value, f'{self.where}: {what} number {number}') for number, value in values]


def as_whole(value: Any) -> int | None:
    """The whole number that a value is, in whatever type it came; None if it is none."""
    if isinstance(value, str) and value.isascii() and value.removeprefix('-').isdigit() and len(value) < 20:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value or abs(value) >= 1 << 63:
        return None
    return int(value) if value == int(value) else None


def values_of(content: Any, where: str) -> list[Any]:
    """What a list in a file holds."""
    if not isinstance(content, (list, tuple)):
        raise DataError(f'{where} is {reprlib.repr(content)}, where a list is meant.')
    return list(content)


def as_identity(value: Any) -> Id | None:
    """What identifies a record; the text '7' is the number 7, the text '007' is not."""
    number = as_whole(value)
    if isinstance(value, str) and (number is None or str(number) != value):
        return value or None
    return number


class Table:
    """Records by their id, looked up with an error that names what is missing, or there twice.

    ``what``: what a record is called. ``key``: the field that identifies it. ``tolerating``: around each record, see
    :meth:`GroundingDataset.tolerating`. An id that two different records have identifies none of them.
    """

    def __init__(
        self,
        values: Iterable[Any],
        source: str,
        what: str,
        tolerating: Callable[[], AbstractContextManager[None]],
        key: str = 'id',
    ) -> None:
        self.source, self.what = source, what
        self._found: dict[Id, Record] = {}
        self._twice: set[Id] = set()
        for number, value in enumerate(values, 1):
            with tolerating():
                identity = Record.of(value, f'{source}: {what} number {number}').identity(key)
                record = Record(value, f'{source}: {what} {identity}')
                if self._found.setdefault(identity, record).content != value:
                    self._twice.add(identity)

    def find(self, identity: Id) -> Record:
        if identity in self._twice:
            raise DataError(f'{self.source} has two different records of {self.what} {identity}: which one is meant?')
        try:
            return self._found[identity]
        except KeyError:
            message = f'{self.source} has no {self.what} {identity}: the annotation files do not belong together.'
            raise DataError(message) from None


def read_file(path: str) -> bytes:
    """What a file of any of mmengine's backends holds; an error names it."""
    try:
        return get(path)
    except Exception as error:  # ValueError of names that no file can have, KeyError of unknown kinds of URLs
        raise DataError(f'{path} cannot be read: {error}.') from error


def load_json(path: str, encodings: tuple[str, ...] = ()) -> Any:
    """Parse a JSON file of any of mmengine's backends; a damaged one is an error that names it."""
    return parse_json(read_file(path), path, encodings)
