"""The tiny LMMs, by the name of their class in transformers."""

from flmm_plugin.tiny.family import TinyFamily
from flmm_plugin.tiny.llava import TinyLlava
from flmm_plugin.tiny.qwen import TinyQwen

FAMILIES: dict[str, TinyFamily] = {'llava': TinyLlava(), 'qwen2_5_vl': TinyQwen()}
