"""Checking data sets: counts, official sizes, every kind of problem with file and id; the tool as a user runs it."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest
from mmengine.config import Config

from flmm_plugin.datasets.check import check_data_set, data_set_configs, spread
from flmm_plugin.datasets.official_sizes import OFFICIAL_SIZES
from tests.data_files import PIPELINE
from tests.test_datasets.test_bad_data import edit_annotation, erase_segment, truncate_jpeg
from tests.test_datasets.test_png import narratives_of

ROOT = Path(__file__).resolve().parents[2]


def refcoco(root: Path, **changes: Any) -> dict:
    config = dict(
        type='RefCOCODataset',
        data_root=str(root),
        ann_file='refcoco/instances.json',
        split_file='refcoco/refs(unc).p',
        data_prefix=dict(img_path='train2014'),
        pipeline=PIPELINE,
        split='train',
    )
    return {**config, **changes}


def png(root: Path) -> dict:
    return dict(
        type='PNGDataset',
        data_root=str(root),
        ann_file='annotations/png_coco_val2017.json',
        panoptic_file='annotations/panoptic_val2017.json',
        data_prefix=dict(img_path='val2017', seg_path='annotations/panoptic_val2017'),
        pipeline=PIPELINE,
        test_mode=True,
    )


def test_counts(refcoco_root: Path) -> None:
    check = check_data_set(refcoco(refcoco_root, protocol='independent/all_sentences', name='mine'), pictures=2)
    (count,) = check.counts
    assert list(count.rows()) == [('samples', 2, None), ('images', 2, None), ('phrases', 9, None)]
    assert (count.name, check.problems, check.checked) == ('mine_train', [], 2)
    assert [item['data_samples'].img_id for item in check.pictures] == [1, 2]


def test_official_sizes_fit_the_protocol() -> None:
    """References are what a first or random sentence counts, expressions what all sentences count."""
    val = OFFICIAL_SIZES['refcoco_val']
    assert val.phrases('concat/first_sentence') == val.phrases('concat/random_sentence') == 3811
    assert val.phrases('independent/all_sentences') == 10834
    assert OFFICIAL_SIZES['reasonseg_val'].phrases('reasoning/first_sentence') is None


def test_part_of_a_download_is_a_problem(refcoco_root: Path) -> None:
    check = check_data_set(refcoco(refcoco_root, name='refcoco', split=['val', 'testA']))
    assert check.problems == [
        'refcoco_val has 1 images; its official edition has 1500.',
        'refcoco_val has 1 phrases; its official edition has 3811.',
        'refcoco_testA has 1 images; its official edition has 750.',
        'refcoco_testA has 1 phrases; its official edition has 1975.',
    ]


@pytest.mark.parametrize('workers', [0, 2])
def test_every_problem_is_listed_with_file_and_id(refcoco_root: Path, workers: int) -> None:
    truncate_jpeg(refcoco_root)
    edit_annotation(refcoco_root, id=99)
    (refcoco_root / 'train2014' / '000000000002.png').unlink()
    unknown, truncated, missing = check_data_set(refcoco(refcoco_root), workers=workers, pictures=2).problems
    assert 'instances.json has no annotation 11' in unknown
    assert '000000000001.png cannot be decoded' in truncated and '(sample train/1)' in truncated
    assert '000000000002.png cannot be read' in missing and '(sample train/2)' in missing


def test_data_sets_of_a_test_are_checked_too(png_root: Path) -> None:
    erase_segment(png_root)
    (problem,) = check_data_set(png(png_root)).problems
    assert 'no pixel of segment 4097' in problem


def test_real_pictures_and_segments_have_no_problem(real_coco: Path, tmp_path: Path) -> None:
    panoptic = json.loads((real_coco / 'annotations' / 'panoptic_val2017.json').read_text())
    (tmp_path / 'png.json').write_text(json.dumps(narratives_of(panoptic)))
    check = check_data_set({**png(real_coco), 'ann_file': str(tmp_path / 'png.json')})
    assert check.problems == [] and check.checked >= 40
    assert check.counts[0].phrases == sum(len(record['segments_info']) for record in panoptic['annotations'])


def test_a_data_set_that_cannot_be_built_is_one_problem(tmp_path: Path) -> None:
    (problem,) = check_data_set(refcoco(tmp_path)).problems
    assert 'refcoco/instances.json does not exist' in problem


def test_data_sets_are_found_in_wrappers_and_once() -> None:
    a, b = dict(type='A'), dict(type='B')
    wrapped = dict(type='RepeatDataset', times=2, dataset=dict(type='ConcatDataset', datasets=[a, b, a]))
    config = Config(dict(train_dataloader=dict(dataset=wrapped), val_dataloader=dict(dataset=b)))
    assert data_set_configs(config, ['train', 'val', 'test']) == [a, b]
    assert data_set_configs(config, ['val']) == [b]


@pytest.mark.parametrize('number, indices', [(None, [0, 1, 2, 3, 4]), (9, [0, 1, 2, 3, 4]), (3, [0, 2, 4]), (0, [])])
def test_spread(number: int | None, indices: list[int]) -> None:
    assert spread(5, number) == indices


def run_tool(monkeypatch: pytest.MonkeyPatch, *arguments: Any) -> int:
    spec = importlib.util.spec_from_file_location('tool_check_data', ROOT / 'tools' / 'check_data.py')
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, 'argv', ['check_data.py', *(str(argument) for argument in arguments)])
    with pytest.raises(SystemExit) as exit_:
        module.main()
    return int(exit_.value.code or 0)


def test_tool(png_root: Path, reasonseg_root: Path, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    reasonseg = dict(
        type='ReasonSegDataset',
        data_root='somewhere',
        data_prefix=dict(img_path='ReasonSeg/val'),
        pipeline=PIPELINE,
        name='mine',
    )
    config = tmp_path / 'data.py'
    loaders = dict(train_dataloader=dict(dataset=reasonseg), val_dataloader=dict(dataset=png(png_root)))
    config.write_text('data_root = "somewhere"\n' + ''.join(f'{name} = {value}\n' for name, value in loaders.items()))
    options = ['--cfg-options', f'data_root={reasonseg_root}']
    sheet = tmp_path / 'sheets' / 'sheet.png'
    assert run_tool(monkeypatch, config, '--sheet', sheet, '--limit', 1, *options) == 0
    printed = capsys.readouterr().out
    assert 'no problem found' in printed and 'decoded 1, problems 0' in printed
    assert cv2.imread(str(sheet)).shape[0] > 500
    (reasonseg_root / 'ReasonSeg' / 'val' / 'beach_1.json').write_text(json.dumps(dict(text=['x'])))
    assert run_tool(monkeypatch, config, '--split', 'train', *options) == 1
    printed = capsys.readouterr().out
    assert "beach_1.json has no 'is_sentence'" in printed and '1 problems' in printed
    assert run_tool(monkeypatch, config, '--split', 'test', *options) == 1
    assert 'no data set in test_dataloader' in capsys.readouterr().err
