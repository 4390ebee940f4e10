"""MobileSAM's image encoder: a TinyViT and SAM's neck (arXiv 2306.14289)."""

from __future__ import annotations

import re
from typing import Any

from segment_anything.modeling.common import LayerNorm2d
from timm.models.tiny_vit import tiny_vit_5m_224
from torch import Tensor, nn


class TinyViTEncoder(nn.Module):
    """timm's TinyViT-5M, its last down-sampling left out, so that tokens are 16 pixels apart as SAM's are.

    Loads MobileSAM's released weights under their own names as well as its own.
    """

    def __init__(self, image_size: int = 1024, out_chans: int = 256) -> None:
        super().__init__()
        self.img_size = image_size
        self.body = tiny_vit_5m_224(num_classes=0)
        self.body.stages[3].downsample.conv2.conv.stride = (1, 1)
        self.body.head = nn.Identity()
        self.neck = nn.Sequential(
            nn.Conv2d(self.body.num_features, out_chans, kernel_size=1, bias=False),
            LayerNorm2d(out_chans),
            nn.Conv2d(out_chans, out_chans, kernel_size=3, padding=1, bias=False),
            LayerNorm2d(out_chans),
        )
        self._register_load_state_dict_pre_hook(rename_released)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) normalised -> (B, out_chans, S / 16, S / 16)."""
        return self.neck(self.body.forward_features(images))


def rename_released(state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Turn MobileSAM's parameter names into timm's, in place; its classifier is dropped."""
    for name in [n for n in state if n.startswith(prefix) and not n.startswith((prefix + 'body.', prefix + 'neck.'))]:
        tensor = state.pop(name)
        short = name.removeprefix(prefix)
        if not short.startswith(('norm_head.', 'head.')):
            state[prefix + 'body.' + to_timm(short)] = tensor


def to_timm(name: str) -> str:
    """timm's name of a TinyViT parameter. Its stages begin with the down-sampling, the original's end with it."""
    name = re.sub(r'^patch_embed\.seq\.(\d)\.', lambda m: f'patch_embed.conv{int(m[1]) // 2 + 1}.', name)
    name = re.sub(r'^layers\.(\d)\.downsample\.', lambda m: f'stages.{int(m[1]) + 1}.downsample.', name)
    return re.sub(r'^layers\.', 'stages.', name).replace('.c.', '.conv.')
