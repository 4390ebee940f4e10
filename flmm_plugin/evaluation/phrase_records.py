"""What became of each phrase, as JSON lines: for confidence intervals, comparisons and a look at the failures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmengine.evaluator import BaseMetric

from flmm_plugin.datasets.records import Record
from flmm_plugin.errors import DataError
from flmm_plugin.evaluation.grounding_metric import Overlaps, group_name
from flmm_plugin.plain_json import parse_lines, to_json
from flmm_plugin.registry import METRICS
from flmm_plugin.rle import encode_mask

#: fields without which a line cannot be analysed
NEEDED = ('sample_id', 'img_id', 'group', 'index', 'phrase', 'iou', 'intersection', 'union', 'area', 'size')
REMEDY = 'write it again by test.py --out'


@METRICS.register_module()
class PhraseRecords(BaseMetric):
    """Writes one JSON line for each phrase tested to ``out_file_path`` and adds nothing to the metrics.

    A line has ``sample_id``, ``img_id``, ``img_path``; ``group`` (data set and protocol, as in the names of metrics);
    ``index`` and ``phrase``, ``is_thing``, ``is_plural``; ``iou``, ``coarse_iou``; ``intersection``, ``union`` and
    ``area`` (of the truth) in pixels; ``score``; ``size`` [height, width], and ``predicted`` and ``truth``, the masks
    in COCO's compressed RLE.
    """

    def __init__(self, out_file_path: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not out_file_path.endswith('.jsonl'):
            raise ValueError(f'out_file_path={out_file_path!r}: the name of a JSON lines file ends with .jsonl')
        self.out_file_path = out_file_path

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        self.results += [list(phrase_records(sample)) for sample in data_samples]

    def compute_metrics(self, results: list[list[dict]]) -> dict[str, float]:
        path = Path(self.out_file_path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open('w') as file:
            file.writelines(to_json(record) + '\n' for records in results for record in records)
        return {}


def phrase_records(sample: dict) -> Iterator[dict[str, Any]]:
    """The records of one tested sample."""
    truth, predicted = sample['gt_instances'], sample['pred_instances']
    masks, true_masks = predicted['masks'].bool(), truth['masks'].bool()
    refined, coarse = Overlaps.of_sample(sample), Overlaps.of_sample(sample, 'coarse_masks')
    ious, coarse_ious = refined.ious_or_right, coarse.ious_or_right  # as in gRefCOCO's gIoU
    for index, phrase in enumerate(truth['phrases']):
        yield dict(
            sample_id=sample['sample_id'],
            img_id=sample['img_id'],
            img_path=sample['img_path'],
            group=group_name(sample),
            index=index,
            phrase=phrase,
            is_thing=bool(truth['is_thing'][index]),
            is_plural=bool(truth['is_plural'][index]),
            iou=float(ious[index]),
            coarse_iou=float(coarse_ious[index]),
            intersection=int(refined.intersections[index]),
            union=int(refined.unions[index]),
            area=int(refined.truth[index]),
            score=float(predicted['scores'][index]),
            size=list(masks.shape[1:]),
            predicted=encode_mask(masks[index].cpu().numpy())['counts'],
            truth=encode_mask(true_masks[index].cpu().numpy())['counts'],
        )


def read_records(path: str | Path) -> list[dict[str, Any]]:
    """The lines of a file that :class:`PhraseRecords` wrote."""
    with open(path, 'rb') as file:
        records = [check(value, where) for where, value in parse_lines(file, str(path), remedy=REMEDY)]
    if not records:
        raise DataError(f'{path} is empty: {REMEDY}.')
    return records


def check(value: Any, where: str) -> dict[str, Any]:
    """A line whose fields are what they should be."""
    missing = [name for name in NEEDED if not isinstance(value, dict) or name not in value]
    if missing:
        raise DataError(f'{where} lacks {", ".join(missing)}: is it a file of test.py --out?')
    record = Record(value, where)
    record.identity('sample_id')
    record.whole('index', least=0)
    for name in ('group', 'phrase'):
        record.text(name)
    for name in ('iou', 'intersection', 'union', 'area'):
        record.number(name)
    if len(record.wholes('size')) != 2 or min(record.wholes('size')) < 1:
        raise record.wrong('size', 'height and width')
    return value
