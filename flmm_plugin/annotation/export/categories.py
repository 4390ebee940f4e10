"""Categories by the head nouns of phrases."""

from __future__ import annotations

from flmm_plugin.apis.phrases.base import ARTICLES, head_noun, words


class Categories:
    """Numbers nouns in the order in which they come, from 1 on."""

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}

    def of(self, phrase: str) -> int:
        """The category of a phrase: its head noun as the LMM said it, "two red stars" being "stars"."""
        content = [word for word in words(phrase) if word not in ARTICLES]
        noun = head_noun(content) if content else phrase.strip()
        return self.ids.setdefault(noun, len(self.ids) + 1)

    def records(self) -> list[dict[str, object]]:
        """COCO's ``categories``; all of them count as things, for a phrase does not say."""
        return [dict(id=number, name=noun, isthing=1, supercategory='') for noun, number in self.ids.items()]
