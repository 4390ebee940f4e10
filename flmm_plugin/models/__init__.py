"""Models: the frozen LMMs, mask heads, refiners and :class:`FLMM`, which is composed of them."""

from flmm_plugin.models.answering import AnsweringFLMM
from flmm_plugin.models.flmm import FLMM
from flmm_plugin.models.lmms import DeepseekVLLMM, FrozenLMM, LlavaLMM, LlavaNextLMM
from flmm_plugin.models.mask_heads import AttentionMaskHead, UNetMaskHead
from flmm_plugin.models.presence.asking import AskingFLMM
from flmm_plugin.models.refiners import SAMRefiner

__all__ = [
    'FLMM',
    'AnsweringFLMM',
    'AskingFLMM',
    'AttentionMaskHead',
    'DeepseekVLLMM',
    'FrozenLMM',
    'LlavaLMM',
    'LlavaNextLMM',
    'SAMRefiner',
    'UNetMaskHead',
]
