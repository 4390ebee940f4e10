"""Sheets have a row for each phrase and a column for each thing there is to see."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from flmm_plugin.visualization import GroundingVisualizer
from flmm_plugin.visualization.sheet import DPI, PANEL, Row, draw_sheet

IMAGE = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)


def sample(phrases: int = 3) -> DetDataSample:
    masks = torch.zeros(phrases, 30, 50, dtype=torch.bool)
    masks[:, 5:20, 10:30] = True
    texts = [f'the thing number {index}' for index in range(phrases)]
    result = DetDataSample(metainfo=dict(sample_id='a/1'))
    result.gt_instances = InstanceData(masks=masks, phrases=texts)
    result.pred_instances = InstanceData(masks=masks.clone(), coarse_masks=torch.zeros_like(masks), phrases=texts)
    result.set_field(torch.rand(phrases, 6, 10), 'attention_maps')
    return result


def rows_of(sheet: np.ndarray) -> int:
    return round((sheet.shape[0] / DPI - 0.3) / PANEL)


def columns_of(sheet: np.ndarray) -> int:
    return round(sheet.shape[1] / DPI / PANEL - 0.7)


def test_file_has_rows_for_phrases_up_to_the_limit(tmp_path: Path) -> None:
    visualizer = GroundingVisualizer(max_phrases=2)
    path = tmp_path / 'new' / 'sheet.png'
    visualizer.add_datasample('name', IMAGE, sample(), out_file=str(path))
    sheet = cv2.imread(str(path))
    assert (rows_of(sheet), columns_of(sheet)) == (2, 5)


def test_backends_get_the_sheet_when_no_file_is_wanted(tmp_path: Path) -> None:
    visualizer = GroundingVisualizer('sheets', vis_backends=[dict(type='LocalVisBackend')], save_dir=str(tmp_path))
    visualizer.add_datasample('val_img', IMAGE, sample(1), step=3)
    assert list(tmp_path.rglob('val_img_3.png'))


def test_what_is_missing_is_left_out(tmp_path: Path) -> None:
    only_truth = sample(1)
    del only_truth.pred_instances, only_truth.attention_maps
    visualizer = GroundingVisualizer()
    for data_sample, columns in ((only_truth, 2), (None, 1)):
        path = tmp_path / f'{columns}.png'
        visualizer.add_datasample('name', IMAGE, data_sample, out_file=str(path))
        assert columns_of(cv2.imread(str(path))) == columns


def test_contact_sheet_joins_samples() -> None:
    sheet = GroundingVisualizer().contact_sheet([(IMAGE, sample(3)), (IMAGE, sample(1))], max_phrases=2)
    assert rows_of(sheet) == 3 and sheet.dtype == np.uint8 and sheet.shape[2] == 3


def test_mask_is_drawn_in_the_phrase_colour() -> None:
    mask = np.zeros((30, 50), dtype=bool)
    mask[:, 25:] = True
    sheet = draw_sheet([Row(np.full((30, 50, 3), 128, dtype=np.uint8), 'x', '#ff0000', truth=mask)])
    redness = sheet[..., 0].astype(int) - sheet[..., 2]
    assert (redness > 100).sum() > 0.1 * redness.size / 2
