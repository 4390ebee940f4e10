"""Lines of annotations, read again: whole, and what they should be."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

from flmm_plugin.datasets.records import Record
from flmm_plugin.plain_json import parse_lines

REMEDY = 'take it out, and the same command annotates the picture again'


def read_lines(shard: Path) -> Iterator[dict[str, Any]]:
    """The records of a shard; a last line that is not whole is none.

    Raises:
        DataError: a line is damaged; the message names it.
    """
    with shard.open('rb') as file:
        whole = takewhile(lambda line: line.endswith(b'\n'), file)
        for where, value in parse_lines(whole, str(shard), remedy=REMEDY):
            yield check(Record.of(value, where))


def check(record: Record) -> dict[str, Any]:
    """A record whose fields are what they should be; masks are looked at when they are decoded."""
    record.words('file_name')
    if 'error' in record:
        record.text('error')
        return dict(record.content)
    record.text('answer')
    image = Record.of(record.value('image'), f'{record.where}: image')
    size = [image.whole(side, least=1) for side in ('height', 'width')]
    for phrase in record.records('phrases', 'phrase'):
        phrase.words('text')
        for span in phrase.items('spans'):
            if len(Record(dict(span=span), phrase.where).wholes('span')) != 2:
                raise phrase.wrong('spans', 'places where they begin and end')
        things = phrase.records('instances', 'thing') if 'instances' in phrase else []
        for one in [phrase, *things] if phrase.flag('grounded') else []:
            mask = Record.of(one.value('mask'), f'{one.where}: mask')
            if mask.wholes('size') != size:
                raise mask.wrong('size', f'that of the image, {size}')
            if len(one.wholes('box')) != 4:
                raise one.wrong('box', 'its four sides')
    return dict(record.content)
