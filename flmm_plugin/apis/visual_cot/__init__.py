"""Visual chain of thought (F-LMM section 4.4): find what matters for a question, answer with a closer look at it."""

from flmm_plugin.apis.visual_cot.thinking import PROTOCOLS, Thought, think

__all__ = ['PROTOCOLS', 'Thought', 'think']
