"""Refiners: coarse mask logits to fine ones."""

from flmm_plugin.models.refiners.guided import GuidedFilterRefiner
from flmm_plugin.models.refiners.hf_sam import HFSAMRefiner
from flmm_plugin.models.refiners.sam import SAMRefiner

__all__ = ['GuidedFilterRefiner', 'HFSAMRefiner', 'SAMRefiner']
