"""Noun chunks by spaCy."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from flmm_plugin.apis.phrases.base import Ask, PhraseExtractor, Span
from flmm_plugin.errors import UserError
from flmm_plugin.registry import TASK_UTILS

MODEL = 'en_core_web_sm'


@TASK_UTILS.register_module()
class SpacyPhrases(PhraseExtractor):
    """spaCy's noun chunks.

    Args:
        model: name of an installed spaCy pipeline with tagger and parser.
        pipeline: a pipeline that is loaded already.

    Raises:
        UserError: when spaCy or the model is not installed.
    """

    def __init__(self, model: str = MODEL, pipeline: Any = None) -> None:
        self.model = model
        if pipeline is not None:
            self.pipeline = pipeline

    @cached_property
    def pipeline(self) -> Any:
        try:
            import spacy

            # Noun chunks need tags and the parse, not names and lemmas.
            return spacy.load(self.model, exclude=['ner', 'lemmatizer'])
        except (ImportError, OSError) as error:
            raise UserError(
                f'spaCy with its model {self.model} is not installed: `pip install spacy` and `python -m spacy '
                f"download {self.model}`, or use the extractor dict(type='RulePhrases'). ({error})"
            ) from error

    def find(self, text: str, ask: Ask | None = None) -> list[Span]:
        return [(chunk.start_char, chunk.end_char) for chunk in self.pipeline(text).noun_chunks]
