"""From what the LMM's forward pass showed to phrases with masks, or to the statement that there is none.

Shape shorthand: P phrases, C attention maps, (h, w) attention grid, (H, W) image size.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from flmm_plugin.apis.cache_budget import CacheBudget
from flmm_plugin.apis.phrases import Phrase, PhraseExtractor
from flmm_plugin.apis.phrases.base import number_of
from flmm_plugin.apis.results import GroundedPhrase, Instance
from flmm_plugin.boxes import mask_boxes
from flmm_plugin.models.flmm import FLMM
from flmm_plugin.models.groundings import Grounding, image_attention, to_instances
from flmm_plugin.models.numbers import check_lmm_numbers, check_mask_numbers
from flmm_plugin.models.presence.estimates import asked_margins, estimate
from flmm_plugin.models.presence.rules import Wanted
from flmm_plugin.structures import size_of

MIN_SCORE = 0.25
MIN_ATTENTION = 0.01


@dataclass(frozen=True)
class Seen:
    """What an LMM showed of P phrases about a uint8 image (3, H, W).

    The i-th phrase's tokens are those of index i in ``inputs.phrase_ids``; ``inputs`` and ``outputs`` mean nothing
    where there is no phrase. ``asked``: (P,) log odds that the phrases are there, as the LMM answered, where it was
    asked already.
    """

    image: Tensor
    phrases: Sequence[Phrase]
    inputs: Any = None
    outputs: Any = None
    asked: Tensor | None = None


@dataclass
class Grounder:
    """A model and how its results are read. All conversations of one model share it.

    ``lock``: held while the model runs. Captures hang hooks into the model, so that it serves one call at a time.
    ``min_score``, ``min_attention`` and ``min_presence``, which needs ``model.presence``: see :class:`GroundedPhrase`.
    ``caches``: what all conversations may keep together.
    ``instances``: whether the things of each phrase are told apart.
    """

    model: FLMM
    extractor: PhraseExtractor
    min_score: float = MIN_SCORE
    min_attention: float = MIN_ATTENTION
    lock: Any = field(default_factory=threading.RLock)
    caches: CacheBudget = field(default_factory=CacheBudget)
    min_presence: Wanted = None
    instances: bool = False

    def ground_batch(self, seen: Sequence[Seen]) -> list[tuple[GroundedPhrase, ...]]:
        """Mask head and refiner on the phrases of several images, all of them together."""
        with_phrases = [one for one in seen if one.phrases]
        if not with_phrases:
            return [() for _ in seen]
        counts = [[number_of(phrase.text) for phrase in one.phrases] for one in with_phrases]
        groundings = iter(
            self.model.ground_batch(
                [one.image for one in with_phrases],
                [one.inputs for one in with_phrases],
                [one.outputs for one in with_phrases],
                counts if self.instances else None,
            )
        )
        asked = iter(self.ask(with_phrases))
        return [self.read_results(one, next(groundings), next(asked)) if one.phrases else () for one in seen]

    def ask(self, seen: Sequence[Seen]) -> list[Tensor | None]:
        """``asked`` of each, all of them; None where the model does not ask."""
        rest = [one for one in seen if one.asked is None]
        phrases = [[phrase.text for phrase in one.phrases] for one in rest]
        margins = iter(
            asked_margins(self.model.lmm, [one.image for one in rest], phrases, self.model.presence_question)
        )
        return [next(margins) if one.asked is None else one.asked for one in seen]

    def read_results(self, seen: Seen, grounding: Grounding, asked: Tensor | None) -> tuple[GroundedPhrase, ...]:
        """The phrases of an image with their masks, as far as they are grounded."""
        inputs, outputs = seen.inputs, seen.outputs
        # A comparison with NaN is false: without these a phrase would quietly be "not grounded".
        check_lmm_numbers(outputs, self.model.lmm.model.dtype)
        check_mask_numbers(grounding.coarse, grounding.refined, grounding.scores)
        found = to_instances(grounding, size_of(seen.image)).cpu()
        boxes = mask_boxes(found.masks).int().tolist()
        shares = image_attention(outputs.attention_maps, inputs.grids).tolist()
        region = inputs.finest_grid.region
        maps = outputs.attention_maps.mean(dim=1).cpu()
        maps = maps if region is None else region.crop(maps)
        presence, least = None, None
        if self.model.presence is not None:
            presence = estimate(self.model, inputs, outputs, grounding, asked).tolist()
            least = self.model.presence.suited(inputs).limit(self.min_presence, self.model.ask_presence)
        results = []
        for index, phrase in enumerate(seen.phrases):
            mask, score = found.masks[index].numpy(), float(found.scores[index])
            grounded = score >= self.min_score and shares[index] >= self.min_attention and bool(mask.any())
            if presence is not None and least is not None:
                grounded = grounded and presence[index] >= least
            x0, y0, x1, y1 = boxes[index]
            results.append(
                GroundedPhrase(
                    text=phrase.text,
                    spans=phrase.spans,
                    score=score,
                    attention=shares[index],
                    grounded=grounded,
                    mask=mask if grounded else None,
                    box=(x0, y0, x1, y1) if grounded else None,
                    coarse_mask=found.coarse_masks[index].numpy(),
                    attention_map=maps[index].numpy(),
                    presence=None if presence is None else presence[index],
                    instances=self.read_things(grounding, index) if grounded else () if self.instances else None,
                )
            )
        return tuple(results)

    def read_things(self, grounding: Grounding, phrase: int) -> tuple[Instance, ...] | None:
        """The things of a grounded phrase, the surest first; None where they were not asked for."""
        if grounding.things is None:
            return None
        masks, scores = grounding.things[phrase]
        boxes = mask_boxes(masks).int().tolist()
        return tuple(
            Instance(mask.numpy(), (x0, y0, x1, y1), score)
            for mask, (x0, y0, x1, y1), score in zip(masks.cpu(), boxes, scores.tolist(), strict=True)
            if score >= self.min_score
        )
