"""Text in colours, for terminals."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TextIO

from flmm_plugin.visualization.colors import rgb

Mark = tuple[int, int, str]  # start, end, '#rrggbb'


def wants_color(stream: TextIO) -> bool:
    """Whether a person with a colour terminal reads ``stream``; https://no-color.org is respected."""
    return stream.isatty() and not os.environ.get('NO_COLOR') and os.environ.get('TERM') != 'dumb'


def paint(text: str, marks: Iterable[Mark]) -> str:
    """``text`` with its marked parts bold and in their colours, by 24-bit ANSI sequences."""
    painted, at = '', 0
    for start, end, color in sorted(marks):
        red, green, blue = rgb(color)
        painted += f'{text[at:start]}\x1b[1;38;2;{red};{green};{blue}m{text[start:end]}\x1b[0m'
        at = end
    return painted + text[at:]
