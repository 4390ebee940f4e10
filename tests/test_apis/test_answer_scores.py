"""Scores of answers and boxes against numbers worked out by hand from their papers' definitions."""

from __future__ import annotations

import pytest

from flmm_plugin.apis.answer_scores import anls, box_iou, edit_distance, exact_match
from flmm_plugin.apis.visual_cot.benchmark import summarize


@pytest.mark.parametrize(
    ('answer', 'truth', 'expected'),
    [
        ('The Forest', 'forest.', 1),
        ('a tree', 'forest', 0),
        ('an apple, a pear', 'Apple Pear', 1),
        ('U.S.', 'us', 1),
        ('theme', 'me', 0),
        # Nothing would be left of these truths.
        ('', 'A', 0),
        ('', 'THE', 0),
        ('', '?', 0),
        ('the', '?', 0),
        ('A.', 'a', 1),
        ('an', 'A', 0),
        ('?', '?', 1),
        ('!', '?', 0),
        ('', '', 1),
        ('a', '', 0),
    ],
)
def test_exact_match(answer: str, truth: str, expected: float) -> None:
    assert exact_match(answer, truth) == expected


@pytest.mark.parametrize(
    ('answer', 'truth', 'expected'),
    [
        ('forest', 'forests', 1 - 1 / 7),
        ('vitamin', 'vitamin a', 1 - 2 / 9),
        ('the forest', 'forest', 1 - 4 / 10),
        ('Forest.', 'forest', 1 - 1 / 7),
        ('FOREST', ' forest  ', 1),
        ('new  york', 'New York', 1),
        ('ab', 'ac', 0),  # at exactly half
        ('abc', 'abd', 1 - 1 / 3),
        ('abcde', 'abxyz', 0),
        ('cat', 'forest', 0),
        ('', 'a', 0),
        ('', '', 1),
    ],
)
def test_anls(answer: str, truth: str, expected: float) -> None:
    assert anls(answer, truth) == pytest.approx(expected)
    assert anls(truth, answer) == pytest.approx(expected)


def test_edit_distance() -> None:
    assert edit_distance('kitten', 'sitting') == 3 and edit_distance('', 'ab') == 2 == edit_distance('ab', '')
    assert edit_distance('flaw', 'lawn') == 2 and edit_distance('ab', 'ba') == 2


def test_box_iou() -> None:
    assert box_iou((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert box_iou((0, 0, 4, 4), (1, 1, 3, 3)) == 4 / 16
    assert box_iou((0, 0, 1, 1), (2, 2, 3, 3)) == 0 == box_iou((0, 0, 1, 1), (1, 0, 2, 1))
    assert box_iou((1, 2, 3, 4), (1, 2, 3, 4)) == 1


def test_summary() -> None:
    rows = [
        dict(exact_match=1.0, anls=1.0, box_iou=0.5),
        dict(exact_match=0.0, anls=0.8, box_iou=0.7),
        dict(exact_match=0.0, anls=0.0, box_iou=0.0),
        dict(exact_match=0.0, anls=0.6, box_iou=0.2),
    ]
    expected = {'exact_match': 0.25, 'anls': 0.6, 'box_iou': 0.35, 'box_acc@0.5': 0.25, 'questions': 4}
    assert summarize(rows) == pytest.approx(expected)
