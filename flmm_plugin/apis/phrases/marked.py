"""Phrases that the LMM itself names when it is asked about its answer."""

from __future__ import annotations

import re

from flmm_plugin.apis.phrases.base import Ask, PhraseExtractor, Span
from flmm_plugin.errors import UserError
from flmm_plugin.registry import TASK_UTILS

REQUEST = (
    'List the phrases of your answer that name things to be seen in the image. '
    'Copy them word for word and separate them by semicolons.'
)


@TASK_UTILS.register_module()
class MarkedPhrases(PhraseExtractor):
    """Asks the LMM to list the phrases of its answer, and keeps those that the answer really holds.

    It costs a second answer, and is as good as the LMM is at following the request. The request and the reply do not
    stay in the conversation.
    """

    def __init__(self, request: str = REQUEST) -> None:
        self.request = request

    def find(self, text: str, ask: Ask | None = None) -> list[Span]:
        if ask is None:
            raise UserError('MarkedPhrases needs the LMM that gave the answer: use it in a conversation.')
        spans: list[Span] = []
        # The longest first: "the red car" must not be found as "car".
        for listed in sorted(set(listed_phrases(ask(self.request))), key=len, reverse=True):
            for match in re.finditer(rf'(?<!\w){re.escape(listed)}(?!\w)', text, re.IGNORECASE):
                start, end = match.span()
                if all(end <= first or last <= start for first, last in spans):
                    spans.append((start, end))
        return sorted(spans)


def listed_phrases(reply: str) -> list[str]:
    """The entries of a list, whether it is separated by semicolons, commas or lines, numbered, quoted or bulleted."""
    entries = re.split(r'[;\n]' if re.search(r'[;\n]', reply) else r'[,.]', reply)
    bare = (re.sub(r'^\s*(?:\d+[.)]|[-*•])\s*', '', entry).strip(' \t"\'“”‘’.,') for entry in entries)
    return [entry for entry in bare if entry]
