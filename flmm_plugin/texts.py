"""Texts that people and files give: whether they say anything, and the same."""

from __future__ import annotations

from unicodedata import normalize


def composed(name: str) -> str:
    """A text whose letters are one character each where they can be: macOS writes names of files with loose accents."""
    return normalize('NFC', name)


def says_something(text: str) -> bool:
    """Whether a text has a character that is seen: neither space nor one that controls or formats."""
    return any(character.isprintable() and not character.isspace() for character in text)
