"""Colours of phrases: the same in pictures, in the terminal and on the web page."""

from __future__ import annotations

# Told apart easily, and none so pale or dark that it is lost on a picture, on paper or in a terminal.
PALETTE = (
    '#e6194b',
    '#2a9d3a',
    '#4363d8',
    '#f58231',
    '#911eb4',
    '#009e9e',
    '#e02fd6',
    '#9a7b00',
    '#008cff',
    '#a0522d',
    '#6a8f00',
    '#ff5c8a',
)


def phrase_color(index: int) -> str:
    """The colour of the phrase with this index as '#rrggbb'; after the last the first comes again."""
    return PALETTE[index % len(PALETTE)]


def rgb(color: str) -> tuple[int, int, int]:
    """'#rrggbb' as three values 0..255."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def text_color(color: str) -> str:
    """Black or white, whichever is read better on ``color`` (relative luminance of WCAG 2)."""
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in _fractions(color)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return '#000000' if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else '#ffffff'


def _fractions(color: str) -> list[float]:
    return [value / 255 for value in rgb(color)]
