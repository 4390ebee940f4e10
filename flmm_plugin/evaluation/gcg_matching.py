"""Which predicted mask belongs to which true one, as GCG's benchmark pairs them (groundingLMM, ``eval/gcg``).

Shape shorthand: P predicted masks, G true ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Masks = NDArray[np.bool_]


def iou_matrix(first: Masks, second: Masks, strict: bool) -> Array:
    """IoU of each of the first masks (P, H, W) with each of the second (G, H, W).

    Two empty masks give NaN, as the benchmark computes them; 0 with ``strict``.
    """
    flat = [masks.reshape(len(masks), math.prod(masks.shape[1:])).astype(np.float64) for masks in (first, second)]
    overlap = flat[0] @ flat[1].T
    union = flat[0].sum(1)[:, None] + flat[1].sum(1)[None] - overlap
    with np.errstate(invalid='ignore'):
        return np.where(union > 0, overlap / np.maximum(union, 1), 0.0 if strict else np.nan)


def paired_iou(ious: Array, strict: bool) -> float:
    """Mean IoU of an image from (P, G): pairs by largest IoU, one to one, as long as it is above 0; 0 without pairs.

    The benchmark averages over the pairs, whatever else was predicted or is true; one NaN ends its search, so that the
    image counts 0. With ``strict`` what has no partner counts 0.
    """
    left, paired = ious.copy(), []
    while left.size and np.max(left) > 0:
        row, column = np.unravel_index(np.argmax(left), left.shape)
        paired.append(left[row, column])
        left = np.delete(np.delete(left, row, axis=0), column, axis=1)
    count = sum(ious.shape) - len(paired) if strict else len(paired)
    return float(sum(paired) / count) if count else 0.0


def matches(ious: Array, similarities: Array, strict: bool, threshold: float = 0.5) -> list[tuple[int, int]]:
    """Pairs (true, predicted) from (G, P): the largest IoU first, while IoU and similarity reach the threshold.

    The benchmark's search ends with the first pair that does not, even if a later one would. With ``strict`` such a
    pair is passed over.
    """
    left, text, found = ious.copy(), similarities.copy(), []
    while left.size:
        row, column = (int(i) for i in np.unravel_index(np.argmax(left), left.shape))
        if left[row, column] < threshold:
            break
        if text[row, column] < threshold:
            if not strict:
                break
            left[row, column] = 0
            continue
        found.append((row, column))
        for values in (left, text):
            values[row, :] = values[:, column] = 0
    return found


def similarity_matrix(first: Sequence[str], second: Sequence[str], embed: Callable[[str], Array] | None) -> Array:
    """Cosines of the texts' embeddings; without ``embed`` 1 where two texts are the same but for case, 0 elsewhere."""
    if embed is None:
        return np.array([[float(a.lower() == b.lower()) for b in second] for a in first]).reshape(
            len(first), len(second)
        )
    vectors = [[embed(text) for text in texts] for texts in (first, second)]
    if not first or not second:
        return np.zeros((len(first), len(second)))
    units = [np.stack(own) / np.linalg.norm(np.stack(own), axis=1, keepdims=True) for own in vectors]
    return units[0] @ units[1].T
