"""Grounding for any frozen large multimodal model (F-LMM, arXiv 2406.05821)."""

__version__ = '0.1.0'
