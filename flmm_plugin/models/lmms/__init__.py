"""Adapters: one file for each family of LMMs."""

from flmm_plugin.models.lmms.auto import AutoLMM
from flmm_plugin.models.lmms.base import FrozenLMM
from flmm_plugin.models.lmms.deepseek_vl import DeepseekVLLMM
from flmm_plugin.models.lmms.llava import LlavaLMM
from flmm_plugin.models.lmms.llava_next import LlavaNextLMM

__all__ = ['AutoLMM', 'DeepseekVLLMM', 'FrozenLMM', 'LlavaLMM', 'LlavaNextLMM']
