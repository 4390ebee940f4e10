"""What every extractor of phrases shares: leaving out words that name no thing, and merging repetitions."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from unicodedata import category

from flmm_plugin.texts import composed

Span = tuple[int, int]
#: Puts a question to the LMM that gave the answer, about the same image, and returns its reply.
Ask = Callable[[str], str]

ARTICLES = frozenset('a an the'.split())
PRONOUNS = frozenset(
    """i you he she it we they me him her us them mine yours his hers ours theirs myself yourself himself herself
    itself ourselves yourselves themselves this that these those there here who whom whose which what where when why how
    one ones someone somebody something anyone anybody anything everyone everybody everything nobody nothing none
    each other others another both all some any many few several yes no""".split()
)
#: Nouns that speak of the picture or of a place in it, not of a thing that it shows.
PICTURE_WORDS = frozenset(
    """image images picture pictures photo photos photograph photographs photography scene scenes view views frame
    shot screenshot illustration foreground background question answer""".split()
)
PLACE_WORDS = frozenset('left right top bottom middle center centre side sides front back corner edge'.split())
#: Before a place they leave it a place ("the far left"); other words make it a thing ("a tank top").
PLACE_ADJECTIVES = frozenset('upper lower far very other opposite same near extreme right-hand left-hand'.split())
#: After a picture: it hangs or stands somewhere, and so is a thing in the scene.
HANGS = re.compile(
    r'\s+(?:hanging\s+|hung\s+)?(?:on|above|over|behind|beside)\s+(?:the|a|an|his|her|their|its|my|your)\s+(\w+)',
    re.IGNORECASE,
)
#: Belong to the word beside them.
SIGNS = frozenset('%+#°$€£')
NUMBERS = {word: number for number, word in enumerate('two three four five six seven eight nine ten'.split(), 2)}
QUANTITIES = frozenset('lot lots number couple kind kinds type types sort bit'.split())


@dataclass(frozen=True)
class Phrase:
    """``text`` and its places (start, end) in the answer; ``text`` is the first of them."""

    text: str
    spans: tuple[Span, ...]


class PhraseExtractor(ABC):
    """Finds the phrases of a text. A subclass says where they are; the rest is the same for all."""

    @abstractmethod
    def find(self, text: str, ask: Ask | None = None) -> list[Span]:
        """Spans (start, end) of candidates in ``text``; ``ask`` where the LMM may be asked about its answer."""

    def __call__(self, text: str, ask: Ask | None = None) -> list[Phrase]:
        """The phrases of ``text`` in order, without pronouns and words such as "image".

        Phrases that differ in article and case alone are one phrase with several spans.
        """
        spans = (trim(text, span) for span in self.find(text, ask))
        return merge(text, (span for span in spans if names_a_thing(text[slice(*span)], text[span[1] :])))


def trim(text: str, span: Span) -> Span:
    """A span without the quotes, dashes, marks and signs around its words; accents of their own and "%" stay."""
    inside = [at for at in range(*span) if text[at].isalnum() or text[at] in SIGNS or category(text[at])[0] == 'M']
    return (inside[0], inside[-1] + 1) if inside else (span[0], span[0])


def names_a_thing(phrase: str, after: str = '') -> bool:
    """Whether something other than the picture itself, a place in it or a pronoun is named.

    ``after``: the text behind the phrase, by which "a picture on the wall" is told from the picture itself.
    """
    content = [word for word in words(phrase) if word not in ARTICLES]
    if not content or all(word in PRONOUNS for word in content):
        return False
    head = head_noun(content)
    if head in PLACE_WORDS:
        before = content[: content.index(head)]
        return not all(word in PLACE_WORDS | PLACE_ADJECTIVES | PICTURE_WORDS for word in before)
    if head in PICTURE_WORDS:
        hangs = HANGS.match(after)
        return hangs is not None and hangs[1].casefold() not in PLACE_WORDS | PLACE_ADJECTIVES | PICTURE_WORDS
    return head not in QUANTITIES


def number_of(phrase: str) -> int | None:
    """How many things a phrase says that it names, from 2 on: "the two red stars", "3 dogs"; None where it does not."""
    before, *rest = [word for word in words(phrase) if word not in ARTICLES | {'these', 'those', 'all'}] or ['']
    number = int(before) if before.isdecimal() and len(before) < 3 else NUMBERS.get(before, 0)
    return number if rest and number > 1 else None


def head_noun(content: list[str]) -> str:
    """The last word before "of", or after it where a quantity comes before: "a lot of people" are people."""
    stop = content.index('of') if 'of' in content[1:] else len(content)
    if content[stop - 1] in QUANTITIES and stop + 1 < len(content):
        return head_noun(content[stop + 1 :])
    return content[stop - 1]


def words(text: str) -> list[str]:
    """Words in lower case, without punctuation."""
    return re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", composed(text).casefold())


def merge(text: str, spans: Iterable[Span]) -> list[Phrase]:
    """Phrases in the order of their first span; overlapping candidates give way to the one that begins first."""
    found: dict[str, list[Span]] = {}
    reached = 0
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        if start < reached or start >= end:
            continue
        reached = end
        key = ' '.join(word for word in words(text[start:end]) if word not in ARTICLES)
        found.setdefault(key, []).append((start, end))
    return [Phrase(text[slice(*places[0])], tuple(places)) for places in found.values()]


def default_extractor() -> dict[str, str]:
    """Config of the best extractor that is installed: spaCy's noun chunks, or rules without a model."""
    from flmm_plugin.apis.phrases.spacy_chunks import installed_model

    installed = find_spec('spacy') is not None and installed_model() is not None
    return dict(type='SpacyPhrases' if installed else 'RulePhrases')
