"""Questions about a scene, each with its one right answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

import numpy as np

from flmm_plugin.datasets.scenes.existence import absent_kinds, existence_question
from flmm_plugin.datasets.scenes.language import COUNTS, noun_phrase
from flmm_plugin.datasets.scenes.world import COLORS, SHAPES, Scene, Thing, plainly_above

T = TypeVar('T')


class Question(NamedTuple):
    """``kind`` says what an answer takes: one of :data:`KINDS`, or ``above``."""

    kind: str
    text: str
    answer: str


#: How often each kind is drawn. What takes most to learn: whether something is there, one bit of what the picture and
#: two words of the question say together.
KINDS = {'exists': 0.52, 'place': 0.16, 'count': 0.13, 'color': 0.07, 'shape': 0.07, 'stuff': 0.05}
#: Things that are not there: any; one with the colour of a thing that is there; one with its shape.
ABSENT = ('random', 'wrong shape', 'wrong color')


def questions(scene: Scene, rng: np.random.Generator, num: int) -> list[Question]:
    """``num`` random questions about a scene, and all of what is above a thing, which few scenes have an answer to.

    A kind that does not fit the scene is replaced by another.
    """
    kinds = rng.choice(list(KINDS), num, p=list(KINDS.values()))
    return [*(ask(kind, scene, rng) for kind in kinds), *_ask_above(scene)]


def ask(kind: str, scene: Scene, rng: np.random.Generator) -> Question:
    """A question of ``kind``, one of :data:`KINDS`, or of place where none of that kind fits the scene."""
    return _ASKERS[kind](scene, rng)


def ask_exists(scene: Scene, rng: np.random.Generator) -> Question:
    """Half of what is asked for is there; a third each of what is not is :data:`ABSENT`."""
    if rng.random() < 0.5:
        thing = _pick(rng, scene.things)
        return Question('exists', existence_question(thing.color, thing.shape), 'yes .')
    return Question('exists', existence_question(*absent(_pick(rng, ABSENT), scene, rng)), 'no .')


def absent(how: str, scene: Scene, rng: np.random.Generator) -> tuple[str, str]:
    """Colour and shape of something that is not in the scene; one of :data:`ABSENT`.

    Where only one of the two is wrong, half of the time another thing has it.
    """
    there = {(thing.color, thing.shape) for thing in scene.things}
    thing = _pick(rng, scene.things)
    colors, shapes = ([thing.color], list(SHAPES)) if how == 'wrong shape' else (list(COLORS), [thing.shape])
    if how == 'random':
        colors, shapes = list(COLORS), list(SHAPES)
    elif rng.random() < 0.5:
        others = [
            (thing.color, other.shape) if how == 'wrong shape' else (other.color, thing.shape) for other in scene.things
        ]
        if swapped := [pair for pair in others if pair not in there]:
            return _pick(rng, swapped)
    return _pick(rng, absent_kinds(there, colors, shapes))


def _pick(rng: np.random.Generator, options: Iterable[T]) -> T:
    options = list(options)
    return options[rng.integers(len(options))]


def _ask_color(scene: Scene, rng: np.random.Generator) -> Question:
    thing = _pick(rng, scene.things)
    if len({t.color for t in scene.things if t.shape == thing.shape}) > 1:
        return _ask_place(scene, rng)
    return Question('color', f'What color is the {thing.shape}?', f'{thing.color} .')


def _ask_shape(scene: Scene, rng: np.random.Generator) -> Question:
    thing = _pick(rng, scene.things)
    if len({t.shape for t in scene.things if t.color == thing.color}) > 1:
        return _ask_place(scene, rng)
    return Question('shape', f'Which shape is {thing.color}?', f'{thing.shape} .')


def _ask_place(scene: Scene, rng: np.random.Generator) -> Question:
    side, thing = (('top', scene.things[0]), ('bottom', scene.things[-1]))[rng.integers(2)]
    return Question('place', f'What is the {side} thing?', f'{noun_phrase(thing)} .')


def _ask_count(scene: Scene, rng: np.random.Generator) -> Question:
    return Question('count', 'How many things are there?', f'{COUNTS[len(scene.things)]} .')


def _ask_above(scene: Scene) -> list[Question]:
    return [
        Question('above', f'Which thing is above {_the(lower)}?', f'{noun_phrase(upper)} .')
        for upper, lower in plainly_above(scene)
        if sum(thing.kind == lower.kind for thing in scene.things) == 1
    ]


def _ask_stuff(scene: Scene, rng: np.random.Generator) -> Question:
    side, stuff = (('top', scene.top), ('bottom', scene.bottom))[rng.integers(2)]
    return Question('stuff', f'What is at the {side}?', f'the {stuff} .')


def _the(thing: Thing) -> str:
    return f'the {thing.size} {thing.color} {thing.shape}'


_ASKERS: dict[str, Callable[[Scene, np.random.Generator], Question]] = {
    'exists': ask_exists,
    'place': _ask_place,
    'count': _ask_count,
    'color': _ask_color,
    'shape': _ask_shape,
    'stuff': _ask_stuff,
}
