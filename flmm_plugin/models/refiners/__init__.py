"""Refiners: coarse mask logits to fine ones."""

from flmm_plugin.models.refiners.sam import SAMRefiner

__all__ = ['SAMRefiner']
