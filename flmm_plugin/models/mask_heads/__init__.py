"""Mask heads: attention maps to mask logits."""

from flmm_plugin.models.mask_heads.attention import AttentionMaskHead
from flmm_plugin.models.mask_heads.unet import UNetMaskHead

__all__ = ['AttentionMaskHead', 'UNetMaskHead']
