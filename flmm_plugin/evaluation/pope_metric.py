"""POPE (arXiv 2305.10355): does an LMM say yes to what is not there?

Shape shorthand: R resamples, I images, S splits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from numpy.typing import NDArray

from flmm_plugin.evaluation.grounding_metric import SKIPPED
from flmm_plugin.registry import METRICS

NEGATIONS = {'No', 'not', 'no'}
FIGURES = ('accuracy', 'precision', 'recall', 'F1', 'yes_ratio')
Array = NDArray[np.float64]


def read_as_authors(answer: str) -> str:
    """'no' if a word before the first full stop is "No", "not" or "no", commas left out; 'yes' otherwise."""
    words = answer.split('.')[0].replace(',', '').split(' ')
    return 'no' if NEGATIONS.intersection(words) else 'yes'


def read_as_lmms_eval(answer: str) -> str:
    """The answer in lower case, which has to be 'yes' or 'no' as a whole: "Yes." is neither."""
    return answer.lower().strip()


READINGS: dict[str, Callable[[str], str]] = {'authors': read_as_authors, 'lmms_eval': read_as_lmms_eval}


@METRICS.register_module()
class POPEMetric(BaseMetric):
    """Accuracy, precision, recall, F1 and yes ratio; "yes" is positive.

    Answers are read in two ways, which are told apart in the names ``pope/SPLIT/READING/FIGURE``: ``authors``
    (AoiDragon/POPE), and ``lmms_eval`` (its task ``pope``, version 0.7.3; its recall leaves out answers that are
    neither yes nor no). The yes ratio is the share of "yes" among the answers in both; lmms-eval's own figure of that
    name is the truth's, ``yes_ratio_of_truth`` here. Where a model gives ``presence``, the reading ``grounded`` says
    yes where the LMM does (by the authors' reading) and what is asked for can be grounded.

    ``pope/mean`` averages the splits, as LLaVA's F1 does. ``FIGURE_low`` and ``FIGURE_high`` bound the central 95 %
    over resamples of the images, which all splits share. Divisions by zero give 0.

    Args:
        min_presence: from which ``presence`` on the thing counts as grounded.
    """

    default_prefix = 'pope'

    def __init__(self, min_presence: float = 0.5, resamples: int = 1000, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.min_presence = min_presence
        self.resamples = resamples
        self.seed = seed

    def accepts(self, protocol: str) -> bool:
        return protocol == 'yes_no'

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep (split, image, truth, read answers by reading); every sample leaves one result."""
        for sample in data_samples:
            if not self.accepts(sample['protocol']):
                self.results.append(SKIPPED)
                continue
            said = {name: read(sample['answer']) for name, read in READINGS.items()}
            if sample.get('presence') is not None:
                there = sample['presence'] >= self.min_presence
                said['grounded'] = 'yes' if said['authors'] == 'yes' and there else 'no'
            self.results.append((sample['dataset_name'], str(sample['img_id']), bool(sample['label']), said))

    def compute_metrics(self, results: list) -> dict[str, float]:
        records = [result for result in results if result != SKIPPED]
        if not records:
            return {}
        splits = list(dict.fromkeys(record[0] for record in records))
        images = {name: index for index, name in enumerate(sorted({record[1] for record in records}))}
        print_log(f'pope: {len(records)} questions about {len(images)} images', logger='current')
        metrics: dict[str, float] = {}
        readings = [name for name in records[0][3] if all(name in record[3] for record in records)]
        share = np.full(len(images), 1 / len(images))
        draws = np.random.default_rng(self.seed).multinomial(len(images), share, size=self.resamples)
        for reading in readings:
            counts = [count([r for r in records if r[0] == split], images, reading) for split in splits]
            values = [figures(own.sum(0, keepdims=True)) for own in counts]
            drawn = [figures(draws @ own) for own in counts]
            for index, split in enumerate(splits):
                metrics.update(named(f'{split}/{reading}', values[index], drawn[index]))
            if len(splits) > 1:
                metrics.update(named(f'mean/{reading}', mean(values), mean(drawn)))
        for split in splits:  # last: the first figure is what save_best='auto' goes by
            truth = [record[2] for record in records if record[0] == split]
            metrics[f'{split}/yes_ratio_of_truth'] = sum(truth) / len(truth)
        return metrics


def count(records: Sequence[tuple], images: dict[str, int], reading: str) -> Array:
    """(I, 6): of each image true and false yes, true and false no, and other answers where yes and no are true."""
    counts = np.zeros((len(images), 6))
    for _, image, truth, said in records:
        answer = said[reading]
        column = {'yes': 0 if truth else 1, 'no': 3 if truth else 2}.get(answer, 4 if truth else 5)
        counts[images[image], column] += 1
    return counts


def figures(counts: Array) -> dict[str, Array]:
    """(R,) of each of :data:`FIGURES` from (R, 6) counts."""
    true_yes, false_yes, true_no, false_no = counts[:, :4].T
    total = counts.sum(1)
    precision, recall = divided(true_yes, true_yes + false_yes), divided(true_yes, true_yes + false_no)
    values = (
        divided(true_yes + true_no, total),
        precision,
        recall,
        divided(2 * precision * recall, precision + recall),
        divided(true_yes + false_yes, total),
    )
    return dict(zip(FIGURES, values, strict=True))


def divided(part: Array, whole: Array) -> Array:
    return np.divide(part, whole, out=np.zeros_like(part, dtype=np.float64), where=whole > 0)


def mean(values: Sequence[dict[str, Array]]) -> dict[str, Array]:
    return {name: np.mean([one[name] for one in values], axis=0) for name in FIGURES}


def named(prefix: str, values: dict[str, Array], drawn: dict[str, Array]) -> dict[str, float]:
    """Each figure and its interval."""
    found: dict[str, float] = {}
    for name in FIGURES:
        low, high = np.quantile(drawn[name], [0.025, 0.975])
        found |= {f'{prefix}/{name}': float(values[name][0])}
        found |= {f'{prefix}/{name}_low': float(low), f'{prefix}/{name}_high': float(high)}
    return found
