from flmm_plugin.apis.conversation import Conversation
from flmm_plugin.apis.images import read_image
from flmm_plugin.apis.inferencer import FLMMInferencer
from flmm_plugin.apis.results import GroundedAnswer, GroundedPhrase

__all__ = ['Conversation', 'FLMMInferencer', 'GroundedAnswer', 'GroundedPhrase', 'read_image']
