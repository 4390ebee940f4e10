"""The hills of a map: what flows down to one top, and how far that top stands out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def find_hills(heights: NDArray[np.floating], count: int, least: float) -> NDArray[np.int64]:
    """Numbers (h, w) of the ``count`` hills that stand out most, from 1 on; 0 where none of them is.

    A top stands out by how far one has to go down from it on the way to a higher one; the highest by its height. A
    lesser hill belongs to the one that it leans against.

    Args:
        heights: (h, w), 0 on the plain.
        least: what a top must reach.
    """
    padded = np.pad(heights, 1).astype(np.float64)
    flat, width = padded.ravel(), padded.shape[1]
    around = [row * width + column for row in (-1, 0, 1) for column in (-1, 0, 1) if row or column]
    top_of = np.full(flat.size, -1)
    leans_on: dict[int, int] = {}
    stands_out: dict[int, float] = {}

    def follow(top: int, ends: set[int]) -> int:
        while top not in ends and top in leans_on:
            top = leans_on[top]
        return top

    for cell in np.argsort(-flat, kind='stable').tolist():
        if flat[cell] <= 0:
            break
        higher = [cell + step for step in around if top_of[cell + step] >= 0]
        top_of[cell] = top_of[max(higher, key=flat.__getitem__)] if higher else cell
        tops = {follow(int(top_of[one]), set()) for one in higher} or {cell}
        highest = max(tops, key=flat.__getitem__)
        stands_out.setdefault(highest, flat[highest])
        for top in tops - {highest}:
            leans_on[top], stands_out[top] = highest, flat[top] - flat[cell]
    ordered = sorted((top for top in stands_out if flat[top] >= least), key=lambda top: -stands_out[top])
    numbers = {top: number for number, top in enumerate(ordered[:count], 1)}
    found = np.zeros(flat.size, np.int64)
    for cell in np.flatnonzero(top_of >= 0).tolist():
        found[cell] = numbers.get(follow(int(top_of[cell]), set(numbers)), 0)
    return found.reshape(padded.shape)[1:-1, 1:-1]
