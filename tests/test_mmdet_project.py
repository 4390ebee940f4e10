"""docs/examples/flmm_in_mmdet.py, run by MMDetection's own tools."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import mmdet
import pytest

from flmm_plugin.datasets.scenes import write_scenes
from tests.test_engine.tiny_runs import ROOT, run_file

CONFIG = ROOT / 'docs' / 'examples' / 'flmm_in_mmdet.py'
TOOLS = Path(mmdet.__file__).parent / '.mim' / 'tools'


def test_example_is_short() -> None:
    assert len(CONFIG.read_text().splitlines()) < 20


def test_example_trains_and_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_scenes(Path('data/scenes'), num=4, seed=0, fractions=(0.5, 0.5, 0))
    options = ['--cfg-options', 'train_cfg.max_epochs=1', 'train_dataloader.num_workers=0']
    options += [
        'train_dataloader.persistent_workers=False',
        *(f'{part}_dataloader.num_workers=0' for part in ('val', 'test')),
    ]
    run_file(TOOLS / 'train.py', CONFIG, '--work-dir', 'work', *options)
    tested = ['work/epoch_1.pth', '--work-dir', 'tested', '--show-dir', 'pictures']
    run_file(TOOLS / 'test.py', CONFIG, *tested, *options)
    (record,) = Path('tested').glob('*/*.json')
    metrics = json.loads(record.read_text())
    assert 0 < metrics['cIoU'] <= 100 and 0 < metrics['mIoU'] <= 100
    pictures = [cv2.imread(str(path)) for path in Path('tested').glob('*/pictures/*.jpg')]
    assert len(pictures) == 2
    for picture in pictures:  # truth and prediction side by side
        assert picture.shape[1] > picture.shape[0]
