"""Noun phrases of an English sentence, found by rule: no model, no word list of things."""

from __future__ import annotations

import re

from flmm_plugin.structures import Segment

OPENERS = frozenset('a an the this that these those one two three four five six seven eight nine ten some'.split())
#: Words that end a phrase: verbs of being, prepositions, conjunctions, relative pronouns.
CLOSERS = frozenset(
    """is are was were be has have there which who that and or but with without of in on at to from by for as above
    below under over behind beside near between left right next front there's""".split()
)


def noun_phrases(text: str) -> list[tuple[int, int]]:
    """Spans (start, end) of the phrases in ``text``: a determiner or number, then words up to one that ends it."""
    spans: list[tuple[int, int]] = []
    start = end = None
    for word in [*re.finditer(r"[\w'-]+|[^\w\s]", text), None]:
        token = '' if word is None else word.group().lower()
        if start is not None and (not token or token in CLOSERS | OPENERS or not token[0].isalnum()):
            if end is not None:
                spans.append((start, end))
            start = end = None
        if token in OPENERS and word is not None:
            start = word.start()
        elif start is not None and word is not None:
            end = word.end()
    return spans


def split_phrases(text: str) -> tuple[list[Segment], list[tuple[int, int]]]:
    """The text in segments, each noun phrase grounded, and the phrases' spans."""
    spans = noun_phrases(text)
    segments, at = [], 0
    for index, (start, end) in enumerate(spans):
        segments += [Segment(text[at:start]), Segment(text[start:end], index)]
        at = end
    return [segment for segment in [*segments, Segment(text[at:])] if segment.text.strip()], spans
