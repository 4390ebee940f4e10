"""Things that are told apart are counted as right, found and there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from flmm_plugin.datasets.scenes import Scene, Thing, render
from flmm_plugin.datasets.scenes.render import FIRST_THING
from flmm_plugin.tiny.things import count_things


def scene(*places: tuple[float, float]) -> Scene:
    """Red stars at (x, y), and a blue circle below them."""
    things = [Thing('star', 'red', 'small', x, y, 17.0, 0.0) for x, y in places]
    things.append(Thing('circle', 'blue', 'small', 100.0, 170.0, 17.0, 0.0))
    order = tuple(range(len(things)))
    return Scene(192, 192, 'sky', 'grass', 100.0, 0.0, 0.0, tuple(things), order, 0)


def test_counts_by_kind() -> None:
    """Of one who sees all but joins what touches, and sees a thing too many."""
    apart, touching = scene((40, 40), (140, 60)), scene((60, 50), (90, 60))

    def ask(image: np.ndarray, phrases: list[str]) -> Any:
        assert phrases == ['two small red stars', 'a small blue circle']
        owners = next(owners for one in (apart, touching) for drawn, owners in [render(one)] if (drawn == image).all())
        first, second, circle = (owners == FIRST_THING + index for index in range(3))
        stars = [first, second] if (image == render(apart)[0]).all() else [first | second]
        found = [stars, [circle, owners == 0]]
        return SimpleNamespace(
            phrases=[SimpleNamespace(instances=[SimpleNamespace(mask=mask) for mask in own]) for own in found]
        )

    counts = count_things(ask, [apart, touching])
    assert {kind: (one.there, one.found, one.right) for kind, one in counts.items()} == {
        'single': (2, 4, 2),
        'plural, apart': (2, 2, 2),
        'plural, touching': (2, 1, 0),
    }
    assert counts['single'].precision == 0.5 and counts['single'].recall == 1
