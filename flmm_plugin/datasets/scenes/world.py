"""What a scene is made of, and how one is drawn at random: 1-4 things on two stuff regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SHAPES = ('circle', 'square', 'triangle', 'star', 'heart', 'cross', 'ring', 'moon')
COLORS: dict[str, tuple[int, int, int]] = {
    'red': (215, 35, 40),
    'orange': (245, 140, 25),
    'yellow': (250, 225, 45),
    'green': (60, 190, 60),
    'blue': (35, 75, 215),
    'purple': (125, 45, 165),
    'pink': (255, 135, 195),
    'black': (25, 25, 28),
}
#: circumradius in pixels
SIZES = {'small': 17.0, 'large': 27.0}
TOPS = ('sky', 'wall', 'forest')
BOTTOMS = ('grass', 'water', 'sand', 'snow', 'road')
STUFF = TOPS + BOTTOMS

IMAGE_SIZE = 192
MIN_GAP = 16.0  # between the y of two centres, so that "from top to bottom" has one meaning
MIN_DISTANCE = 0.78  # of the sum of two radii: limited occlusion
MAX_TRIES = 100


@dataclass(frozen=True)
class Thing:
    """One object; ``x``, ``y`` and ``radius`` in pixels, ``angle`` in degrees."""

    shape: str
    color: str
    size: str
    x: float
    y: float
    radius: float
    angle: float

    @property
    def kind(self) -> tuple[str, str, str]:
        """Things of one kind look the same, and a caption counts them: "two small red stars"."""
        return self.size, self.color, self.shape


@dataclass(frozen=True)
class Scene:
    """``things`` from top to bottom; ``depth`` lists their indices from back to front."""

    width: int
    height: int
    top: str
    bottom: str
    horizon: float
    wave: float
    phase: float
    things: tuple[Thing, ...]
    depth: tuple[int, ...]
    texture_seed: int


def sample_scene(
    rng: np.random.Generator, size: int | tuple[int, int] = IMAGE_SIZE, num_things: int | None = None
) -> Scene:
    """Draw ``num_things`` (1-4 at random) things on a canvas of ``size`` pixels, (height, width) or square."""
    height, width = (size, size) if isinstance(size, int) else size
    count = int(rng.integers(1, 5)) if num_things is None else num_things
    things: list[Thing] | None = None
    while things is None:
        things = _place(rng, _sample_kinds(rng, count), (height, width))
    things.sort(key=lambda thing: thing.y)
    return Scene(
        width=width,
        height=height,
        top=str(rng.choice(TOPS)),
        bottom=str(rng.choice(BOTTOMS)),
        horizon=float(rng.uniform(0.35, 0.65) * height),
        wave=float(rng.uniform(0, 0.03) * height),
        phase=float(rng.uniform(0, 2 * np.pi)),
        things=tuple(things),
        depth=tuple(int(i) for i in rng.permutation(len(things))),
        texture_seed=int(rng.integers(2**31)),
    )


def _sample_kinds(rng: np.random.Generator, count: int) -> list[tuple[str, str, str]]:
    """Kinds of ``count`` things; a third of them repeats one before, which makes plurals."""
    kinds: list[tuple[str, str, str]] = []
    colors = tuple(COLORS)
    sizes = tuple(SIZES)
    for _ in range(count):
        if kinds and rng.random() < 0.3:
            kinds.append(kinds[-1])
        else:
            kinds.append((sizes[rng.integers(2)], colors[rng.integers(len(colors))], SHAPES[rng.integers(len(SHAPES))]))
    return kinds


def _place(
    rng: np.random.Generator, kinds: Sequence[tuple[str, str, str]], size: tuple[int, int]
) -> list[Thing] | None:
    """Positions for all kinds, or None when a random start leaves no room for the last ones."""
    things: list[Thing] = []
    for kind_size, color, shape in kinds:
        for _ in range(MAX_TRIES):
            radius = SIZES[kind_size] * rng.uniform(0.93, 1.07)
            rim = radius * 1.15
            x, y = rng.uniform(rim, (size[1] - rim, size[0] - rim))
            if all(_apart(x, y, radius, other) for other in things):
                things.append(Thing(shape, color, kind_size, float(x), float(y), float(radius), rng.uniform(-10, 10)))
                break
        else:
            return None
    return things


def _apart(x: float, y: float, radius: float, other: Thing) -> bool:
    distance = np.hypot(x - other.x, y - other.y)
    return abs(y - other.y) >= MIN_GAP and distance >= MIN_DISTANCE * (radius + other.radius)


def relation(first: Thing, second: Thing) -> str:
    """Where ``first``, the upper one, is seen from ``second``."""
    dx, dy = second.x - first.x, second.y - first.y
    if dy >= abs(dx):
        return 'above'
    return 'left of' if dx > 0 else 'right of'


def groups(scene: Scene) -> list[tuple[int, ...]]:
    """Indices of things of one kind, the groups ordered by their topmost member."""
    found: dict[tuple[str, str, str], list[int]] = {}
    for index, thing in enumerate(scene.things):
        found.setdefault(thing.kind, []).append(index)
    return [tuple(members) for members in found.values()]


def plainly_above(scene: Scene) -> list[tuple[Thing, Thing]]:
    """Pairs (upper, lower): of all things ``upper`` alone is above ``lower``, and none is nearly so.

    Above is what :func:`relation` says: within 45 degrees of straight up, which the upper one keeps by 6 degrees and
    all others miss by as much.
    """
    found = []
    for number, lower in enumerate(scene.things):
        slopes = {upper: abs(lower.x - upper.x) / (lower.y - upper.y) for upper in scene.things[:number]}
        near = [upper for upper, slope in slopes.items() if slope < 1.25]
        if len(near) == 1 and slopes[near[0]] <= 0.8:
            found.append((near[0], lower))
    return found
