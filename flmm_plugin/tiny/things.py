"""How well the things of phrases are told apart, on scenes: of single things, of plurals, and of those that touch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from flmm_plugin.apis.grounding import Seen
from flmm_plugin.apis.images import read_image
from flmm_plugin.apis.phrases import Phrase
from flmm_plugin.datasets.scenes import Scene, render
from flmm_plugin.datasets.scenes.language import narrative
from flmm_plugin.datasets.scenes.render import FIRST_THING
from flmm_plugin.structures import Segment

QUESTION = 'Describe the image.'
TOUCH = 3  # pixels between things that touch
MATCH = 0.5  # IoU beyond which a thing is found: no two masks that do not overlap can both have it


@dataclass
class Count:
    """Things that are ``there``, that were ``found``, and of those the ``right`` ones."""

    there: int = 0
    found: int = 0
    right: int = 0

    @property
    def precision(self) -> float:
        return self.right / max(self.found, 1)

    @property
    def recall(self) -> float:
        return self.right / max(self.there, 1)


def count_things(ask: Any, scenes: Iterable[Scene]) -> dict[str, Count]:
    """Counts by kind of phrase, ``'single'``, ``'plural, apart'`` and ``'plural, touching'``.

    ``ask``: an :class:`FLMMInferencer` with ``instances=True``, which reads the scenes' narratives as answers.
    """
    counts = {kind: Count() for kind in ('single', 'plural, apart', 'plural, touching')}
    for scene in scenes:
        image, owners = render(scene)
        spans = [span for span in narrative(scene) if span.grounded]
        for span, phrase in zip(spans, ground_narrative(ask, image, scene), strict=True):
            group = span.things
            if not group:
                continue
            truth = [mask for index in group if (mask := owners == index + FIRST_THING).any()]
            count = counts[kind_of(truth)]
            found = [one.mask for one in phrase.instances]
            count.there += len(truth)
            count.found += len(found)
            count.right += sum(any(iou(mask, one) > MATCH for one in found) for mask in truth)
    return counts


@torch.inference_mode()
def ground_narrative(ask: Any, image: NDArray[np.uint8], scene: Scene) -> tuple[Any, ...]:
    """The grounded phrases of a scene's narrative, stuff among them."""
    pixels, segments, count = read_image(image), [], 0
    for span in narrative(scene):
        segments.append(Segment(span.text, count if span.grounded else -1))
        count += span.grounded
    lmm = ask.model.lmm
    inputs = lmm.prepare(pixels, QUESTION, segments)
    phrases = [Phrase(one.text, ()) for one in segments if one.phrase >= 0]
    return ask.grounder.ground_batch([Seen(pixels, phrases, inputs, lmm([inputs])[0])])[0]


def kind_of(truth: Sequence[NDArray[np.bool_]]) -> str:
    if len(truth) < 2:
        return 'single'
    kernel = np.ones((2 * TOUCH + 1, 2 * TOUCH + 1), np.uint8)
    wider = [cv2.dilate(mask.astype(np.uint8), kernel) > 0 for mask in truth]
    touching = any((one & other).any() for i, one in enumerate(wider) for other in truth[i + 1 :])
    return 'plural, touching' if touching else 'plural, apart'


def iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((one & other).sum() / max((one | other).sum(), 1))
