"""Text as it is written: no markup, no error, and a font that has its letters where one is installed."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import matplotlib
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from PIL import ImageFont

#: The first ships with matplotlib and has the letters of most alphabets; the others are taken where they are installed.
FAMILIES = (
    'DejaVu Sans',
    'Noto Sans',
    'Noto Sans CJK SC',
    'Noto Sans CJK JP',
    'Noto Sans SC',
    'Noto Sans JP',
    'Noto Sans KR',
    'WenQuanYi Zen Hei',
    'WenQuanYi Micro Hei',
    'Droid Sans Fallback',
    'Microsoft YaHei',
    'PingFang SC',
    'Hiragino Sans',
    'Malgun Gothic',
    'Arial Unicode MS',
    'Noto Sans Arabic',
    'Noto Sans Hebrew',
    'Noto Sans Devanagari',
    'Noto Sans Bengali',
    'Noto Sans Tamil',
    'Noto Sans Thai',
    'FreeSans',
    'Noto Emoji',
)


@cache
def families() -> tuple[str, ...]:
    """The fonts of :data:`FAMILIES` that are installed."""
    installed = {font.name for font in fontManager.ttflist}
    return tuple(name for name in FAMILIES if name in installed) or FAMILIES[:1]


@contextmanager
def plain_text() -> Iterator[None]:
    """Inside the block matplotlib draws text letter by letter: "$", "_" and "\\" are themselves."""
    options = {'text.parse_math': False, 'text.usetex': False, 'font.family': list(families())}
    with matplotlib.rc_context(options):
        yield


def drawable(text: str) -> str:
    """``text`` with a mark in place of what no font can draw: halves of surrogate pairs and control characters."""
    unseen = ('Cs', 'Cc')
    return ''.join('\ufffd' if unicodedata.category(one) in unseen and one not in '\n\t' else one for one in text)


def font_for(text: str, size: int) -> ImageFont.FreeTypeFont:
    """The installed font that lacks the fewest letters of ``text``; what it lacks it draws as boxes."""
    letters = {ord(letter) for letter in text if not letter.isspace()}
    best = min(families(), key=lambda name: len(letters - _letters(name)))
    return _load(best, size)


@cache
def _letters(family: str) -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties(family=family))).get_charmap())


@cache
def _load(family: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(findfont(FontProperties(family=family)), size)
