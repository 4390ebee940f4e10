"""Scores of short answers and of boxes, as the papers that brought them define them."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

ANLS_THRESHOLD = 0.5


def exact_match(answer: str, truth: str) -> float:
    """1 where both are the same without case, punctuation, articles and repeated space (SQuAD, arXiv 1606.05250).

    SQuAD's script makes nothing of a truth such as "A", "The" or "?", so that an empty answer would be right. Of those
    the articles, and where nothing but punctuation is left that too, count.
    """
    for normalize in (without_articles, without_punctuation, plain):
        if normalize(truth):
            return float(normalize(answer) == normalize(truth))
    return float(not plain(answer))


def anls(answer: str, truth: str, threshold: float = ANLS_THRESHOLD) -> float:
    """Normalised Levenshtein similarity s of both without case and repeated space (ST-VQA, arXiv 1905.13648).

    0 where the distance 1 - s is ``threshold`` or more: what is half wrong is worth nothing.
    """
    answer, truth = plain(answer), plain(truth)
    longest = max(len(answer), len(truth), 1)
    distance = edit_distance(answer, truth) / longest
    return 1 - distance if distance < threshold else 0.0


def plain(text: str) -> str:
    return ' '.join(text.lower().split())


def without_punctuation(text: str) -> str:
    return plain(''.join(character for character in text if character not in string.punctuation))


def without_articles(text: str) -> str:
    return plain(re.sub(r'\b(?:a|an|the)\b', ' ', without_punctuation(text).lower()))


def edit_distance(first: str, second: str) -> int:
    """Insertions, deletions and substitutions from one text to another."""
    row = list(range(len(second) + 1))
    for i, left in enumerate(first, 1):
        previous, row[0] = row[0], i
        for j, right in enumerate(second, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (left != right))
    return row[-1]


def box_iou(first: Sequence[float], second: Sequence[float]) -> float:
    """IoU of two boxes x0, y0, x1, y1."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(width, 0) * max(height, 0)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return shared / max(areas - shared, 1e-9)
