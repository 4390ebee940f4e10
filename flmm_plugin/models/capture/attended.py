"""What single layers attended with.

Shape shorthand: B samples, H query heads, G key/value heads, N keys, Q queries, D head width, T phrase tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from flmm_plugin.models.capture.room import SMALL


class AttendedLayer(NamedTuple):
    """What a layer attended with.

    ``query`` (B, H, Q, D) and ``key`` (B, G, N, D), after rotary embedding; ``mask`` None, or (1 or B, 1 or H, Q, >=N),
    additive float or bool (True = may attend); ``causal``: later keys are hidden where there is no mask. ``taken``: of
    the queries these are the selected rows, (B, H, T, D).
    """

    layer: int
    query: Tensor
    key: Tensor
    mask: Tensor | None
    scaling: float
    causal: bool
    taken: bool = False

    def alike(self, other: AttendedLayer) -> bool:
        """Can both be looked at as one layer with the heads of both?"""
        return (
            self.mask is other.mask
            and (self.mask is None or self.mask.shape[1] == 1)
            and self[4:] == other[4:]
            and self.query.shape == other.query.shape
            and self.key.shape == other.key.shape
            and self.key.device == other.key.device
            and (self.query.dtype, self.key.dtype) == (other.query.dtype, other.key.dtype)
        )


def beside(tensors: Sequence[Tensor]) -> Tensor:
    """(B, heads of all, N, D) of some (B, heads, N, D).

    Large ones are joined as they lie in memory, which is faster; small ones by fewer operations.
    """
    if len(tensors) == 1:
        return tensors[0]
    if tensors[0].nbytes > SMALL and tensors[0].transpose(1, 2).is_contiguous():
        return torch.cat([tensor.transpose(1, 2) for tensor in tensors], 2).transpose(1, 2)
    return torch.cat(list(tensors), 1)
