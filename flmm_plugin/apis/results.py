"""What a grounded conversation gives: an answer, its phrases, and where they are.

Shape shorthand: P grounded phrases, (H, W) image size, (h, w) attention grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from mmengine.structures import InstanceData
from numpy.typing import NDArray

from flmm_plugin.apis.phrases.base import Span
from flmm_plugin.plain_json import finite


@dataclass(frozen=True)
class Instance:
    """One thing of those that a phrase names: ``mask`` (H, W) bool, ``box`` and ``score`` as the phrase has them."""

    mask: NDArray[np.bool_]
    box: tuple[int, int, int, int]
    score: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        from flmm_plugin.rle import encode_mask

        return dict(score=finite(round(self.score, 4)), box=list(self.box), mask=encode_mask(self.mask))


@dataclass(frozen=True)
class GroundedPhrase:
    """A phrase and where it is.

    ``text``: the phrase; ``spans``: its places (start, end) in the answer, none for expressions that were given.
    ``score``: SAM's predicted IoU, or the mean probability inside the mask without a refiner.
    ``attention``: the share of the phrase's attention that goes to the image, averaged over layers and heads.
    ``presence``: the probability that the thing is in the picture, by the checkpoint's rule; None where it has none.
    ``grounded``: whether all reach their thresholds; where they do not, there is no mask and no box.
    ``mask``: (H, W) bool; ``box``: x0, y0, x1, y1 in pixels, far sides exclusive.
    ``coarse_mask`` (H, W) bool and ``attention_map`` (h, w) fp32 show how it came about, also of what is not grounded.
    ``instances``: the things that a plural phrase names, the surest first; None where they were not asked for.
    """

    text: str
    spans: tuple[Span, ...]
    score: float
    attention: float
    grounded: bool
    mask: NDArray[np.bool_] | None
    box: tuple[int, int, int, int] | None
    coarse_mask: NDArray[np.bool_]
    attention_map: NDArray[np.float32]
    presence: float | None = None
    instances: tuple[Instance, ...] | None = None

    @property
    def start(self) -> int:
        """Where the phrase first begins in the answer."""
        return self.spans[0][0]

    @property
    def end(self) -> int:
        """Where the phrase first ends in the answer."""
        return self.spans[0][1]

    def at_least(self, presence: float) -> GroundedPhrase:
        """The same, or not grounded where its presence is less. Without a rule there is none to be less."""
        if self.presence is None or self.presence >= presence:
            return self
        return replace(self, grounded=False, mask=None, box=None, instances=None if self.instances is None else ())

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; the mask in COCO's compressed run-length encoding, None where not grounded."""
        from flmm_plugin.rle import encode_mask  # pycocotools, without which one can still talk

        things = None if self.instances is None else [thing.to_dict() for thing in self.instances]
        return dict(
            text=self.text,
            spans=[list(span) for span in self.spans],
            grounded=self.grounded,
            score=finite(round(self.score, 4)),
            attention=finite(round(self.attention, 4)),
            presence=None if self.presence is None else round(self.presence, 4),
            box=None if self.box is None else list(self.box),
            mask=None if self.mask is None else encode_mask(self.mask),
            **({} if things is None else dict(instances=things)),
        )


@dataclass(frozen=True)
class GroundedAnswer:
    """The LMM's own answer, or the expressions it was given, and where the phrases are in an image of (H, W)."""

    question: str
    answer: str
    phrases: tuple[GroundedPhrase, ...]
    image_size: tuple[int, int]

    @property
    def grounded(self) -> tuple[GroundedPhrase, ...]:
        """The phrases that have a mask."""
        return tuple(phrase for phrase in self.phrases if phrase.grounded)

    def at_least(self, presence: float) -> GroundedAnswer:
        """The same answer, its phrases of less presence not grounded."""
        return replace(self, phrases=tuple(phrase.at_least(presence) for phrase in self.phrases))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        height, width = self.image_size
        return dict(
            question=self.question,
            answer=self.answer,
            image=dict(height=height, width=width),
            phrases=[phrase.to_dict() for phrase in self.phrases],
        )

    @cached_property
    def data_sample(self) -> Any:
        """The grounded phrases as mmdet's ``DetDataSample``: ``pred_instances`` with ``masks`` (P, H, W), ``bboxes``,
        ``scores``, ``phrases``, ``presence`` (NaN without a rule), ``coarse_masks``, and ``labels`` and ``label_names``
        as mmdet's visualizer reads them; and (P, h, w) ``attention_maps``."""
        from mmdet.structures import DetDataSample  # talking needs no mmdet, and it takes seconds to import

        found = self.grounded
        sample = DetDataSample(metainfo=dict(ori_shape=self.image_size, prompt=self.question, answer=self.answer))
        empty = np.zeros((0, *self.image_size), bool)
        sample.pred_instances = InstanceData(
            masks=torch.from_numpy(np.stack([p.mask for p in found if p.mask is not None]) if found else empty),
            coarse_masks=torch.from_numpy(np.stack([p.coarse_mask for p in found]) if found else empty),
            bboxes=torch.tensor([p.box for p in found], dtype=torch.float32).reshape(-1, 4),
            scores=torch.tensor([p.score for p in found]),
            presence=torch.tensor([math.nan if p.presence is None else p.presence for p in found]),
            labels=torch.arange(len(found)),
            label_names=[p.text for p in found],
            phrases=[p.text for p in found],
        )
        if found:
            maps = torch.from_numpy(np.stack([p.attention_map for p in found]))
            sample.set_field(maps, 'attention_maps', dtype=torch.Tensor)
        return sample
