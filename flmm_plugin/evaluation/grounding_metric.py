"""What the metrics share: overlaps of each phrase, collected over ranks, grouped by data set and protocol."""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch import Tensor

SKIPPED = ('skipped',)


@dataclass
class Overlaps:
    """What the metrics need to know of P phrases, each field (P,)."""

    intersections: np.ndarray  # int64, pixels
    unions: np.ndarray  # int64, pixels
    predicted: np.ndarray  # int64, pixels
    is_thing: np.ndarray  # bool
    is_plural: np.ndarray  # bool
    sizes: np.ndarray  # int64, pixels of the image
    is_long: np.ndarray  # bool, of ReasonSeg's instructions

    @property
    def ious(self) -> np.ndarray:
        """(P,) float64; 0 where prediction and truth are both empty, as in mmdet's ``RefSegMetric``."""
        return self.intersections / np.maximum(self.unions, 1)

    @property
    def ious_or_right(self) -> np.ndarray:
        """(P,) float64; as :attr:`ious`, but 1 where nothing is predicted and nothing is true."""
        return np.where(self.unions > 0, self.ious, 1.0)

    @property
    def truth(self) -> np.ndarray:
        """(P,) int64, pixels of the true masks."""
        return self.unions - self.predicted + self.intersections

    @staticmethod
    def of_sample(sample: dict, field: str = 'masks') -> Overlaps:
        """Of one sample's phrases; the pixels that its truth says are to be ignored count for nothing."""
        truth = sample['gt_instances']
        predicted, true = sample['pred_instances'][field].bool(), truth['masks'].bool()
        if len(predicted) != len(true):
            where, counts = sample.get('sample_id'), f'{len(predicted)} masks for {len(true)} phrases'
            raise ValueError(f'sample {where}: {counts}. What is tested must be what was grounded.')
        if 'ignored' in truth:
            predicted = predicted & ~truth['ignored'].to(predicted.device)
            true = true & ~truth['ignored'].to(true.device)
        areas = predicted.flatten(1).sum(1).cpu().numpy()
        flags = (truth['is_thing'].cpu().numpy(), truth['is_plural'].cpu().numpy())
        sizes = np.full(len(areas), predicted[0].numel() if len(areas) else 0)
        is_long = truth['is_long'].cpu().numpy() if 'is_long' in truth else np.zeros_like(flags[0])
        return Overlaps(*overlaps(predicted, true), areas, *flags, sizes, is_long)

    def only(self, chosen: np.ndarray) -> Overlaps:
        """Those of the ``chosen`` phrases, (P,) bool."""
        return Overlaps(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @staticmethod
    def concatenate(parts: Sequence[Overlaps]) -> Overlaps:
        names = [field.name for field in fields(Overlaps)]
        return Overlaps(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def group_name(sample: dict) -> str:
    """Data set, where it has a name, and protocol: what the names of results say of where they come from."""
    return '/'.join(filter(None, (sample.get('dataset_name'), sample['protocol'])))


def cumulative_iou(intersections: np.ndarray, unions: np.ndarray) -> float:
    """cIoU: the sum of intersections / the sum of unions, each (P,) pixels; 0 where nothing is predicted or true."""
    return float(intersections.sum() / max(unions.sum(), 1))


def overlaps(predicted: Tensor, truth: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Intersection and union in pixels of (P, H, W) bool masks -> two (P,) int64 arrays."""
    truth = truth.to(predicted.device)
    intersections = (predicted & truth).flatten(1).sum(1)
    unions = (predicted | truth).flatten(1).sum(1)
    return intersections.cpu().numpy(), unions.cpu().numpy()


class GroundingMetric(BaseMetric):
    """Base of the metrics on grounded phrases.

    ``field``: 'masks' (refined), or 'coarse_masks' (the mask head alone), whose results are prefixed '..._coarse'.

    A metric uses the samples whose protocol it knows and skips the others, so that one run can test a
    ``ConcatDataset`` of narratives and expressions with one metric for each. Results are named
    ``PREFIX/[DATA SET/]PROTOCOL/METRIC`` and are fractions in [0, 1].
    """

    def __init__(self, field: str = 'masks', prefix: str | None = None, **kwargs: Any) -> None:
        if field not in ('masks', 'coarse_masks'):
            raise ValueError(f"field={field!r}: expected 'masks' or 'coarse_masks'")
        suffix = '_coarse' if field == 'coarse_masks' else ''
        super().__init__(prefix=prefix or f'{self.default_prefix}{suffix}', **kwargs)
        self.field = field

    @abstractmethod
    def accepts(self, protocol: str) -> bool:
        """Whether samples of this protocol are evaluated here."""

    @abstractmethod
    def measure(self, group: Overlaps) -> dict[str, float]:
        """Metrics of the phrases of one data set and protocol."""

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the overlaps of each sample.

        Every sample leaves one result, a skipped one too: mmengine interleaves the results of the ranks, without
        those that are None, and cuts off what the sampler added to fill the last round.
        """
        for sample in data_samples:
            if not self.accepts(sample['protocol']):
                self.results.append(SKIPPED)
                continue
            self.results.append((group_name(sample), self.overlaps(sample)))

    def overlaps(self, sample: dict) -> Overlaps:
        """Of the phrases of a sample."""
        return Overlaps.of_sample(sample, self.field)

    def compute_metrics(self, results: list) -> dict[str, float]:
        groups: dict[str, list[Overlaps]] = defaultdict(list)
        for result in results:
            if result != SKIPPED:
                groups[result[0]].append(result[1])
        metrics = {}
        for group, parts in groups.items():
            merged = Overlaps.concatenate(parts)
            print_log(
                f'{self.prefix}/{group}: {len(merged.unions)} phrases of {len(parts)} samples '
                f'({len(results)} tested in all)',
                logger='current',
            )
            metrics.update({f'{group}/{name}': float(value) for name, value in self.measure(merged).items()})
        return metrics
