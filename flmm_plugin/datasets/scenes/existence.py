"""POPE-style questions about scenes: is a thing of a colour and a shape there?

As in POPE, half of the questions about a scene are about what is there, and the other half is chosen in three ways.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from flmm_plugin.datasets.scenes.world import COLORS, SHAPES

#: POPE's splits. What is not there is drawn at random; is what the set shows most often; or has the colour or the shape
#: of something that is there (the colour of one thing and the shape of another wherever there are two).
WAYS = ('random', 'popular', 'adversarial')
MOST = 3  # things that are asked for, of those that are there and as many of those that are not
Kind = tuple[str, str]


def existence_question(color: str, shape: str) -> str:
    return f'Is there a {color} {shape}?'


def absent_kinds(there: Collection[Kind], colors: Iterable[str] = COLORS, shapes: Sequence[str] = SHAPES) -> list[Kind]:
    """What is not among colour and shape of the things that are ``there``, of these colours and shapes."""
    return [(color, shape) for color in colors for shape in shapes if (color, shape) not in there]


def existence_questions(scenes: Sequence[tuple[str, Sequence[Kind]]], way: str, seed: int) -> Iterator[dict[str, Any]]:
    """The lines of a POPE file: yes and no in turn.

    Args:
        scenes: of each the image's file name, and colour and shape of its things.
        way: one of :data:`WAYS`.
    """
    shown = Counter(kind for _, things in scenes for kind in set(things))
    number = 0
    for index, (image, things) in enumerate(scenes):
        rng = np.random.default_rng([seed, index, WAYS.index(way)])
        there = list(dict.fromkeys(things))[:MOST]
        absent = absent_kinds(things)
        rng.shuffle(absent)
        absent.sort(key=lambda kind: -rank(kind, things, shown, way))  # stable: at random among equals
        for yes, no in zip(there, absent, strict=False):
            for kind, label in ((yes, 'yes'), (no, 'no')):
                number += 1
                yield dict(question_id=number, image=image, text=existence_question(*kind), label=label)


def rank(kind: Kind, things: Sequence[Kind], shown: Counter[Kind], way: str) -> int:
    """The higher, the sooner an absent kind is asked for."""
    if way == 'popular':
        return shown[kind]
    if way == 'adversarial':
        color, shape = kind
        return any(color == other for other, _ in things) + any(shape == other for _, other in things)
    return 0
