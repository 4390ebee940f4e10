"""tools/analyze_results.py on two runs of the same phrases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flmm_plugin.evaluation import PhraseRecords
from flmm_plugin.evaluation.phrase_records import read_records
from tests.test_engine.tiny_runs import run
from tests.test_evaluation.test_metrics import evaluate
from tests.test_evaluation.test_phrase_records import samples_tested


@pytest.fixture
def two_runs(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / 'before.jsonl', tmp_path / 'after.jsonl']
    for path in paths:
        samples = samples_tested()
        for sample in samples:
            image = tmp_path / sample.img_path
            Image.fromarray(np.full((24, 32, 3), 120, np.uint8)).save(image)
            sample.set_metainfo(dict(img_path=str(image)))
            if path.stem == 'after':
                sample.pred_instances.masks = sample.gt_instances.masks.clone()
        evaluate([PhraseRecords(str(path))], samples)
    return paths


def test_two_runs(two_runs: list[Path], tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / 'analysis'
    run('analyze_results', *two_runs, '--out-dir', out, '--worst', 3, '--resamples', 200)
    table = json.loads((out / 'analysis.json').read_text())['concat/all_sentences']
    before = read_records(two_runs[0])
    assert table['phrases'] == len(before)
    assert table[str(two_runs[0])]['mIoU']['value'] == pytest.approx(np.mean([r['iou'] for r in before]))
    assert table['difference']['mIoU']['value'] == pytest.approx(1 - np.mean([r['iou'] for r in before]))
    assert table['difference']['mIoU']['low'] > 0
    for name in ('iou_by_size.png', 'iou_by_length.png', 'worst.png'):
        with Image.open(out / name) as picture:
            assert picture.size[0] > 300
    assert 'difference: mIoU' in capsys.readouterr().out


def test_one_run_and_a_missing_one(two_runs: list[Path], tmp_path: Path, capsys: Any) -> None:
    run('analyze_results', two_runs[0], '--out-dir', tmp_path / 'one')
    assert 'difference' not in capsys.readouterr().out
    with pytest.raises(SystemExit):
        run('analyze_results', two_runs[0], tmp_path / 'no.jsonl', '--out-dir', tmp_path / 'two')
    assert 'no.jsonl' in capsys.readouterr().err
