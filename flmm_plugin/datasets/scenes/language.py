"""What can be said of a scene: narratives, referring expressions, questions with answers. No coordinates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from flmm_plugin.datasets.scenes.world import COLORS, SHAPES, SIZES, STUFF, Scene, Thing, groups, neighbours, relation

COUNTS = ('no', 'one', 'two', 'three', 'four')
DESCRIBE = 'Describe the image.'
LIST = 'Name the things.'


@dataclass(frozen=True)
class Span:
    """A piece of a narrative. ``things`` are indices of the scene's things, ``stuff`` is 'top' or 'bottom'."""

    text: str
    things: tuple[int, ...] = ()
    stuff: str | None = None

    @property
    def grounded(self) -> bool:
        return bool(self.things) or self.stuff is not None


def plural(shape: str) -> str:
    return shape + ('es' if shape.endswith('s') else 's')


def narrative(scene: Scene) -> list[Span]:
    """A panoptic narrative: the stuff first, then the things from top to bottom with relations and plurals."""
    spans = [Span(f'the {scene.top}', stuff='top'), Span('is above'), Span(f'the {scene.bottom}', stuff='bottom')]
    spans.append(Span('.'))
    members = groups(scene)
    for place, group in enumerate(members):
        first = scene.things[group[0]]
        many = len(group) > 1
        if place == 0 and len(members) == 1:
            spans.append(Span('there are' if many else 'there is'))
        spans.append(Span(_noun_phrase(first, len(group)), things=group))
        if place + 1 < len(members):
            following = scene.things[members[place + 1][0]]
            verb = 'are' if many else 'is'
            spans.append(Span(f'{verb if place == 0 else f", which {verb}"} {relation(first, following)}'))
    spans.append(Span('.'))
    return spans


def _noun_phrase(thing: Thing, count: int = 1) -> str:
    noun = thing.shape if count == 1 else plural(thing.shape)
    return f'{"a" if count == 1 else COUNTS[count]} {thing.size} {thing.color} {noun}'


def expressions(scene: Scene, index: int) -> list[str]:
    """Expressions that fit thing ``index`` and no other: the shortest, the full one, one by place or neighbour."""
    thing = scene.things[index]
    twins = [i for i, other in enumerate(scene.things) if other.kind == thing.kind]
    full = (thing.size, thing.color)
    if len(twins) > 1:
        side = _side(index, twins)
        if side is None:  # the middle one of three or more: it has no name of its own but its neighbours'
            return []
        named = [f'the {side} {" ".join(full)} {thing.shape}']
        alike = [i for i, other in enumerate(scene.things) if (other.color, other.shape) == (thing.color, thing.shape)]
        return named if alike != twins else [f'the {side} {thing.color} {thing.shape}', *named]
    found = [_shortest(scene, thing), f'the {" ".join(full)} {thing.shape}']
    same_shape = [i for i, other in enumerate(scene.things) if other.shape == thing.shape]
    if len(same_shape) > 1 and (side := _side(index, same_shape)):
        found.append(f'the {side} {thing.shape}')
    elif len(same_shape) == 1 and index + 1 < len(scene.things):
        other = scene.things[index + 1]
        found.append(f'the {thing.shape} {relation(thing, other)} the {other.color} {other.shape}')
    return list(dict.fromkeys(found))


def _side(index: int, among: list[int]) -> str | None:
    if index == among[0]:
        return 'top'
    return 'bottom' if index == among[-1] else None


def _shortest(scene: Scene, thing: Thing) -> str:
    """The fewest adjectives that tell a thing without twins from all others."""
    for adjectives in ((), (thing.color,), (thing.size,), (thing.size, thing.color)):
        fitting = [t for t in scene.things if t.shape == thing.shape and set(adjectives) <= {t.size, t.color}]
        if len(fitting) == 1:
            return ' '.join(['the', *adjectives, thing.shape])
    raise ValueError(f'{thing} has a twin: no adjectives tell it apart')


def listing(scene: Scene, rng: np.random.Generator) -> str:
    """An answer to :data:`LIST`: one referring expression for each thing that has one, in random order."""
    found = [expressions(scene, index) for index in range(len(scene.things))]
    chosen = [options[rng.integers(len(options))] for options in found if options]
    return ' '.join(f'{chosen[i]} .' for i in rng.permutation(len(chosen)))


def questions(scene: Scene, rng: np.random.Generator, num: int) -> list[tuple[str, str]]:
    """``num`` random questions about a scene, each with its one right answer."""
    return [_ASKERS[rng.integers(len(_ASKERS))](scene, rng) for _ in range(num)]


def _pick(rng: np.random.Generator, options: Iterable[str]) -> str:
    options = list(options)
    return options[rng.integers(len(options))]


def _ask_color(scene: Scene, rng: np.random.Generator) -> tuple[str, str]:
    thing = scene.things[rng.integers(len(scene.things))]
    named = {t.color for t in scene.things if t.shape == thing.shape}
    if len(named) > 1:
        return _ask_place(scene, rng)
    return f'What color is the {thing.shape}?', f'{thing.color} .'


def _ask_shape(scene: Scene, rng: np.random.Generator) -> tuple[str, str]:
    thing = scene.things[rng.integers(len(scene.things))]
    named = {t.shape for t in scene.things if t.color == thing.color}
    if len(named) > 1:
        return _ask_place(scene, rng)
    return f'Which shape is {thing.color}?', f'{thing.shape} .'


def _ask_place(scene: Scene, rng: np.random.Generator) -> tuple[str, str]:
    side, thing = (('top', scene.things[0]), ('bottom', scene.things[-1]))[rng.integers(2)]
    return f'What is the {side} thing?', f'{_noun_phrase(thing)} .'


def _ask_count(scene: Scene, rng: np.random.Generator) -> tuple[str, str]:
    return 'How many things are there?', f'{COUNTS[len(scene.things)]} .'


def _ask_next(scene: Scene, rng: np.random.Generator) -> tuple[str, str]:
    pairs = [(a, b) for a, b in neighbours(scene) if sum(t.kind == b.kind for t in scene.things) == 1]
    if not pairs:
        return _ask_count(scene, rng)
    upper, lower = pairs[rng.integers(len(pairs))]
    return f'Which thing is above the {lower.size} {lower.color} {lower.shape}?', f'{_noun_phrase(upper)} .'


def _ask_exists(scene: Scene, rng: np.random.Generator) -> tuple[str, str]:
    if rng.random() < 0.5:
        thing = scene.things[rng.integers(len(scene.things))]
        color, shape = thing.color, thing.shape
    else:
        color, shape = _pick(rng, COLORS), _pick(rng, SHAPES)
    there = any((t.color, t.shape) == (color, shape) for t in scene.things)
    return f'Is there a {color} {shape}?', 'yes .' if there else 'no .'


def _ask_stuff(scene: Scene, rng: np.random.Generator) -> tuple[str, str]:
    if rng.random() < 0.5:
        return 'What is at the top?', f'the {scene.top} .'
    return 'What is at the bottom?', f'the {scene.bottom} .'


_ASKERS = (_ask_color, _ask_shape, _ask_place, _ask_place, _ask_count, _ask_next, _ask_next, _ask_exists, _ask_stuff)


def vocabulary() -> list[str]:
    """Every word and mark that this module can say, sorted; lower case."""
    words = {*SHAPES, *(plural(shape) for shape in SHAPES), *COLORS, *SIZES, *STUFF, *COUNTS}
    return sorted(words.union(_OTHER_WORDS.split()))


_OTHER_WORDS = """
the is are above below left right of which there a . , ? : thing things what color shape how many
at top bottom yes no describe image name user assistant
"""
