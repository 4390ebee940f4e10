"""``--cfg-options`` as MMEngine's tools have it, but values may hold spaces."""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any

from mmengine.config import DictAction

SPACE = '\0'  # no argument of a program can hold it


class OptionsAction(DictAction):
    """mmengine's action for KEY=VALUE arguments, which drops every space of a value: ``/data/my scenes`` is kept here.

    Spaces around a value, and around the parts of a list, are no part of it.
    """

    def __call__(
        self, parser: ArgumentParser, namespace: Namespace, values: Sequence[str] | None, option: str | None = None
    ) -> None:
        for value in values or ():
            if '=' not in value:
                parser.error(f'{option}: {value!r} is not KEY=VALUE; a value with spaces is quoted: "KEY=a value"')
        try:
            super().__call__(parser, namespace, [_protect(value) for value in values or ()], option)
        except AssertionError as error:
            parser.error(f'{option}: {str(error).replace(SPACE, " ")}')
        setattr(namespace, self.dest, _restore(getattr(namespace, self.dest)))


def _protect(argument: str) -> str:
    key, value = argument.split('=', maxsplit=1)
    value = value.strip()
    if ',' in value or value.startswith(('[', '(')):
        value = re.sub(r'\s*([,\[\]()])\s*', r'\1', value)
    return f'{key.strip()}={value.replace(" ", SPACE)}'


def _restore(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _restore(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_restore(one) for one in value)
    return value.replace(SPACE, ' ') if isinstance(value, str) else value
