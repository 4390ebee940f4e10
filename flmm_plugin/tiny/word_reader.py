"""What the vision tower of a tiny LMM is first trained with, a stand-in for CLIP's pretraining."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn

from flmm_plugin.tiny.family import TinyFamily


class WordReader(nn.Module):
    """The vision tower with a linear reader of ``words`` words on every place.

    A word is in the picture when it is at some place: logits are pooled by log-sum-exp.
    """

    def __init__(self, family: TinyFamily, model: Any, words: int) -> None:
        super().__init__()
        self.family, self.tower = family, family.tower(model)
        self.words = nn.Linear(model.config.text_config.hidden_size, words)
        nn.init.constant_(self.words.bias, -3.0)

    def forward(self, pixels: dict[str, Tensor]) -> Tensor:
        """Word logits (B, words)."""
        features = self.family.read(self.tower, pixels)
        return self.words(features).logsumexp(1) - math.log(features.shape[1])
