"""What can be said of a scene: narratives and referring expressions. No coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flmm_plugin.datasets.scenes.world import COLORS, SHAPES, SIZES, STUFF, Scene, Thing, groups, relation

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
        spans.append(Span(noun_phrase(first, len(group)), things=group))
        if place + 1 < len(members):
            following = scene.things[members[place + 1][0]]
            verb = 'are' if many else 'is'
            spans.append(Span(f'{verb if place == 0 else f", which {verb}"} {relation(first, following)}'))
    spans.append(Span('.'))
    return spans


def noun_phrase(thing: Thing, count: int = 1) -> str:
    """ "a small red star", "two small red stars"."""
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


def vocabulary() -> list[str]:
    """Every word and mark that this module can say, sorted; lower case."""
    words = {*SHAPES, *(plural(shape) for shape in SHAPES), *COLORS, *SIZES, *STUFF, *COUNTS}
    return sorted(words.union(_OTHER_WORDS.split()))


_OTHER_WORDS = """
the is are above below left right of which there a . , ? : thing things what color shape how many
at top bottom yes no describe image name user assistant
"""
