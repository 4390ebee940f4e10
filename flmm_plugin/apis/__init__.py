from flmm_plugin.apis.inferencer import FLMMInferencer, GroundedAnswer, GroundedPhrase
from flmm_plugin.apis.phrases import noun_phrases

__all__ = ['FLMMInferencer', 'GroundedAnswer', 'GroundedPhrase', 'noun_phrases']
