"""Noun phrases of an English sentence, found by rule: no model, no word list of things."""

from __future__ import annotations

import re

from flmm_plugin.apis.phrases.base import PLACE_ADJECTIVES, Ask, PhraseExtractor, Span
from flmm_plugin.registry import TASK_UTILS

OPENERS = frozenset(
    """a an the this that these those two three four five six seven eight nine ten several many some another both
    his her its their my your our""".split()
)
#: Words that end a phrase: verbs of being, prepositions, conjunctions, relative pronouns, verbs common in captions.
CLOSERS = frozenset(
    """is are was were be been has have had can there which who that and or but while as if than then also not
    with without of in on at to into onto from by for above below under over behind beside beneath near between among
    around across along through against toward towards inside outside next left right front there's it's
    sits sitting stands standing lies lying walks walking runs running rides riding holds holding wears wearing
    looks looking plays playing eats eating drinks drinking leans leaning flies flying hangs hanging jumps jumping
    watches watching carries carrying parked placed seated covered filled surrounded made seen shown visible
    appears appear seems seem contains contain shows show features""".split()
)
#: The number of a list's entry, a word with the accents that are characters of their own, or a sign.
WORDS = re.compile(r"\n\s*\d+[.)]|\w[\w\u0300-\u036f'’-]*|[^\w\s]")
SIDES = frozenset('left right front inside outside'.split())


@TASK_UTILS.register_module()
class RulePhrases(PhraseExtractor):
    """A determiner or number, then words up to one that ends the phrase. Phrases without a determiner are missed."""

    def find(self, text: str, ask: Ask | None = None) -> list[Span]:
        spans: list[Span] = []
        start = end = None
        for word in [*WORDS.finditer(text), None]:
            token = '' if word is None else word.group().lower()
            # Right behind the determiner they are adjectives: "a parked car", "the upper left corner".
            begun = start is not None and (end is None or text[start:end].split()[-1].lower() in PLACE_ADJECTIVES)
            adjective = begun and (token in SIDES or token.endswith(('ed', 'ing')))
            closes = not token or token in OPENERS or (token in CLOSERS and not adjective) or not token[0].isalnum()
            if start is not None and closes:
                if end is not None:
                    spans.append((start, end))
                start = end = None
            if token in OPENERS and word is not None:
                start = word.start()
            elif start is not None and word is not None:
                end = word.end()
        return spans
