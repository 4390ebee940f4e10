"""What the doctor found, one line each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    OK = ' ok '
    WARN = 'warn'
    FAIL = 'FAIL'


@dataclass(frozen=True)
class Finding:
    """``remedy``: what to do about it; empty where all is well."""

    level: Level
    subject: str
    detail: str
    remedy: str = ''

    def __str__(self) -> str:
        text = f'[{self.level.value}] {self.subject}: {self.detail}'
        indented = ''.join(f'\n       -> {line}' for line in self.remedy.splitlines())
        return text + indented


def ok(subject: str, detail: str) -> Finding:
    return Finding(Level.OK, subject, detail)


def warn(subject: str, detail: str, remedy: str) -> Finding:
    return Finding(Level.WARN, subject, detail, remedy)


def fail(subject: str, detail: str, remedy: str) -> Finding:
    return Finding(Level.FAIL, subject, detail, remedy)


def first_line(error: BaseException) -> str:
    """An exception in one line: its type and the first line of what it says."""
    lines = str(error).strip().splitlines()
    return f'{type(error).__name__}: {lines[0]}' if lines else type(error).__name__
