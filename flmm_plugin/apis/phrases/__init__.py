"""Which phrases of a text are worth grounding, and which tokens they are."""

from flmm_plugin.apis.phrases.base import Phrase, PhraseExtractor, default_extractor
from flmm_plugin.apis.phrases.marked import MarkedPhrases
from flmm_plugin.apis.phrases.rules import RulePhrases
from flmm_plugin.apis.phrases.spacy_chunks import SpacyPhrases
from flmm_plugin.apis.phrases.tokens import answer_text, phrase_ids, token_spans

__all__ = [
    'MarkedPhrases',
    'Phrase',
    'PhraseExtractor',
    'RulePhrases',
    'SpacyPhrases',
    'answer_text',
    'default_extractor',
    'phrase_ids',
    'token_spans',
]
