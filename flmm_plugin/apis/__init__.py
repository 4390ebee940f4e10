from flmm_plugin.apis.conversation import Conversation
from flmm_plugin.apis.images import read_image
from flmm_plugin.apis.inferencer import FLMMInferencer
from flmm_plugin.apis.results import GroundedAnswer, GroundedPhrase, Instance

__all__ = ['Conversation', 'FLMMInferencer', 'GroundedAnswer', 'GroundedPhrase', 'Instance', 'read_image']
