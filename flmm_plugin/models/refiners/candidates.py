"""Several masks of a phrase, of which one is kept: of prompts cut at several levels, or of one ambiguous prompt.

Shape shorthand: P phrases, K levels, M masks of one prompt, (h, w) size of decoded masks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def cut(logits: Tensor, levels: Sequence[float]) -> Tensor:
    """Logits (P, h, w) as (P * K, h, w): of each phrase as many as levels, which are at zero in them."""
    if list(levels) == [0]:
        return logits
    return (logits[:, None] - logits.new_tensor(levels)[:, None, None]).flatten(0, 1)


def agreement(masks: Tensor, coarse: Tensor) -> Tensor:
    """IoU (N, M) of logits (N, M, h, w) with coarse logits (N, h, w), both above zero."""
    inside, known = masks > 0, (coarse > 0)[:, None]
    return (inside & known).sum((2, 3)) / (inside | known).sum((2, 3)).clamp(min=1)


def choose(logits: Tensor, scores: Tensor, coarse: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """The masks (P, h, w) and predicted IoU (P,) of greatest worth: squared predicted IoU x agreement with the coarse
    mask, which was better on training scenes than the plain product (docs/untrained.md).

    Args:
        logits: (P * K, M, h, w).
        scores: (P * K, M) predicted IoU.
        coarse: (P * K, h, w) logits of the prompts, at the same size.
        levels: K.
    """
    worth = scores.detach().clamp(min=0) ** 2 * agreement(logits, coarse)
    by_phrase = [one.unflatten(0, (len(one) // levels, levels)).flatten(1, 2) for one in (logits, scores, worth)]
    best = by_phrase[2].argmax(dim=1)
    rows = torch.arange(len(best), device=best.device)
    return by_phrase[0][rows, best], by_phrase[1][rows, best]
