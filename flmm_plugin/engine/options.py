"""``--cfg-options`` as MMEngine's tools have it, but texts arrive as they were written."""

from __future__ import annotations

import os
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any

from mmengine.config import DictAction

SPACE = '\0'  # no argument of a program can hold it
TEXT = '\0text:'  # before a text, written in hexadecimal
QUOTES = '\'"'
#: Fields that are texts, whatever they look like: a folder may be called 2024, or have a comma in its name.
TEXTS = frozenset('data_root work_dir ann_file split_file panoptic_file pretrained prompt png_prompt'.split())


class OptionsAction(DictAction):
    """mmengine's action for KEY=VALUE arguments, which drops every space of a value: ``/data/my scenes`` is kept here.

    Spaces around a value, and around the parts of a list, are no part of it. A value in quotes is a text, save for a
    list; mmengine would make a list of "Look, a dog" and a number of "2024". ``~`` is the home folder.
    """

    def __call__(
        self, parser: ArgumentParser, namespace: Namespace, values: Sequence[str] | None, option: str | None = None
    ) -> None:
        for value in values or ():
            if '=' not in value:
                parser.error(f'{option}: {value!r} is not KEY=VALUE; a value with spaces is quoted: "KEY=a value"')
            if not all(part.strip() for part in value.split('=')[0].split('.')):
                parser.error(f'{option}: {value!r} has no key, or a part of it is empty: KEY.PART=VALUE')
        try:
            super().__call__(parser, namespace, [_protect(value) for value in values or ()], option)
        except AssertionError as error:
            parser.error(f'{option}: {str(error).replace(SPACE, " ")}')
        setattr(namespace, self.dest, _restore(getattr(namespace, self.dest)))


def _protect(argument: str) -> str:
    key, value = (part.strip() for part in argument.split('=', maxsplit=1))
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in QUOTES and value[0] not in value[1:-1]
    inner = value[1:-1] if quoted else value
    listed = inner[:1] + inner[-1:] in ('[]', '()')
    if key.split('.')[-1] in TEXTS or (quoted and not listed) or (',' not in inner and set(QUOTES) & set(inner)):
        return f'{key}={TEXT}{inner.encode("utf-8", "surrogateescape").hex()}'
    if ',' in inner or listed:
        inner = re.sub(r'\s*([,\[\]()])\s*', r'\1', inner)
    return f'{key}={inner.replace(" ", SPACE)}'


def _restore(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _restore(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_restore(one) for one in value)
    if not isinstance(value, str):
        return value
    if value.startswith(TEXT):
        value = bytes.fromhex(value.removeprefix(TEXT)).decode('utf-8', 'surrogateescape')
    text = value.replace(SPACE, ' ')
    return os.path.expanduser(text) if text == '~' or text.startswith('~/') else text
