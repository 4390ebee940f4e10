"""Things that are told apart are counted as right, found and there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from flmm_plugin.apis import FLMMInferencer
from flmm_plugin.datasets.scenes import Scene, Thing, render
from flmm_plugin.datasets.scenes.render import FIRST_THING
from flmm_plugin.tiny.things import count_things


def scene(*places: tuple[float, float]) -> Scene:
    """Red stars at (x, y), and a blue circle below them."""
    things = [Thing('star', 'red', 'small', x, y, 17.0, 0.0) for x, y in places]
    things.append(Thing('circle', 'blue', 'small', 100.0, 170.0, 17.0, 0.0))
    order = tuple(range(len(things)))
    return Scene(192, 192, 'sky', 'grass', 100.0, 0.0, 0.0, tuple(things), order, 0)


def test_counts_by_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one who sees all but joins what touches, and sees a thing too many."""
    apart, touching = scene((40, 40), (140, 60)), scene((60, 50), (90, 60))

    def ground(ask: Any, image: np.ndarray, drawn: Scene) -> Any:
        owners = render(drawn)[1]
        first, second, circle = (owners == FIRST_THING + index for index in range(3))
        stars = [first, second] if drawn is apart else [first | second]
        found = [[owners == 0], [owners == 1], stars, [circle, owners == 0]]
        return [SimpleNamespace(instances=[SimpleNamespace(mask=mask) for mask in own]) for own in found]

    monkeypatch.setattr('flmm_plugin.tiny.things.ground_narrative', ground)
    counts = count_things(None, [apart, touching])
    assert {kind: (one.there, one.found, one.right) for kind, one in counts.items()} == {
        'single': (2, 4, 2),
        'plural, apart': (2, 2, 2),
        'plural, touching': (2, 1, 0),
    }
    assert counts['single'].precision == 0.5 and counts['single'].recall == 1


def test_the_tiny_model_finds_what_a_narrative_names() -> None:
    ask = FLMMInferencer(
        lmm='flmm_plugin::tiny_llava', sam='flmm_plugin::tiny_sam.safetensors', device='cpu', instances=True
    )
    counts = count_things(ask, [scene((40, 40), (140, 60))])
    assert counts['plural, apart'].right >= 1 and counts['single'].right == 1
