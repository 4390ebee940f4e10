"""Narratives with wrong words: what the rule of phrases inside answers is fitted on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from mmengine.structures import BaseDataElement

from flmm_plugin.structures import Segment


@dataclass(frozen=True)
class LabelledText:
    """A text's ``segments``, its ``phrases`` in the order of their indices, and which of them are ``there``."""

    segments: list[Segment]
    phrases: list[str]
    there: list[bool]


def swap_phrases(samples: Sequence[BaseDataElement], seed: int = 0) -> list[LabelledText]:
    """Narratives half of whose phrases are another's: one of the same kind, a thing or not, one or several.

    What the other picture shows may be in this one under another name: a few of the wrong words may be right.

    Args:
        samples: of :class:`PNGDataset`.
    """
    rng = np.random.default_rng(seed)
    kinds = [list(zip(*flags_of(sample), strict=True)) for sample in samples]
    named: dict[tuple[bool, bool], list[str]] = defaultdict(list)
    for sample, own in zip(samples, kinds, strict=True):
        for phrase, kind in zip(sample.gt_instances.phrases, own, strict=True):
            named[kind].append(phrase)
    made = []
    for sample, own in zip(samples, kinds, strict=True):
        true = list(sample.gt_instances.phrases)
        known = {phrase.casefold() for phrase in true}
        said = []
        for phrase, kind in zip(true, own, strict=True):
            others = [other for other in named[kind] if other.casefold() not in known]
            said.append(others[rng.integers(len(others))] if others and rng.random() < 0.5 else phrase)
        segments = [
            one if one.phrase < 0 else replace(one, text=one.text.replace(true[one.phrase], said[one.phrase]))
            for one in sample.segments
        ]
        made.append(LabelledText(segments, said, [new == old for new, old in zip(said, true, strict=True)]))
    return made


def flags_of(sample: BaseDataElement) -> tuple[list[bool], list[bool]]:
    return sample.gt_instances.is_thing.tolist(), sample.gt_instances.is_plural.tolist()
