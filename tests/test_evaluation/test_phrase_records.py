"""One line a phrase: what is written, read back and refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from mmdet.structures import DetDataSample

from flmm_plugin.errors import DataError
from flmm_plugin.evaluation import PhraseRecords, RESMetric
from flmm_plugin.evaluation.phrase_records import read_records
from flmm_plugin.rle import decode_mask
from tests.test_evaluation.test_metrics import RES, coco_ious, evaluate, predictions


def samples_tested() -> list[DetDataSample]:
    samples = predictions(6, seed=3)
    for index, sample in enumerate(samples):
        sample.set_metainfo(dict(sample_id=f'val/{index}', img_id=index, img_path=f'{index}.jpg'))
        sample.gt_instances.phrases = [f'thing {i}' for i in range(len(sample.gt_instances))]
        sample.pred_instances.scores = sample.pred_instances.masks.float().mean((1, 2))
    return samples


def test_records_agree_with_the_metrics_and_the_masks(tmp_path: Path) -> None:
    samples, path = samples_tested(), tmp_path / 'new' / 'run.jsonl'
    metrics = evaluate([RESMetric(), PhraseRecords(str(path))], samples)
    records = read_records(path)
    np.testing.assert_allclose([record['iou'] for record in records], coco_ious(samples))
    np.testing.assert_allclose([record['coarse_iou'] for record in records], coco_ious(samples, 'coarse_masks'))
    total = sum(r['intersection'] for r in records) / sum(r['union'] for r in records)
    assert total == pytest.approx(metrics[f'res/{RES}/cIoU'])
    masks = [mask for sample in samples for mask in sample.gt_instances.masks]
    for record, mask in zip(records, masks, strict=True):
        np.testing.assert_array_equal(decode_mask(dict(size=record['size'], counts=record['truth'])), mask.numpy())
        assert record['area'] == mask.sum() and record['group'] == RES
    assert records[1]['sample_id'] == 'val/1' and records[1]['phrase'] == 'thing 0'


def test_nothing_found_where_nothing_is_counts_as_right(tmp_path: Path) -> None:
    samples, path = samples_tested()[:1], tmp_path / 'run.jsonl'
    for masks in (samples[0].gt_instances.masks, samples[0].pred_instances.masks):
        masks[:] = False
    samples[0].pred_instances.coarse_masks[:] = True
    evaluate([PhraseRecords(str(path))], samples)
    assert [(record['iou'], record['coarse_iou']) for record in read_records(path)] == [(1.0, 0.0)]


def test_only_json_lines() -> None:
    with pytest.raises(ValueError, match=r'run\.json.*\.jsonl'):
        PhraseRecords('run.json')


@pytest.mark.parametrize(
    'content, message',
    [('', 'is empty'), ('{"iou": 1}\n', r'line 1 lacks sample_id, img_id'), ('{"iou": \n', 'line 1 is not JSON')],
)
def test_other_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / 'run.jsonl'
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_records(path)


def test_lines_are_json(tmp_path: Path) -> None:
    evaluate([PhraseRecords(str(tmp_path / 'run.jsonl'))], samples_tested())
    lines = (tmp_path / 'run.jsonl').read_text().splitlines()
    assert len(lines) == sum(len(sample.gt_instances) for sample in samples_tested())
    assert all(0 <= json.loads(line)['score'] <= 1 for line in lines)
