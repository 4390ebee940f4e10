"""GLaMM's files of grounded captions, good and bad."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flmm_plugin.datasets import GCGDataset
from flmm_plugin.errors import DataError
from tests.data_files import PIPELINE

BOXES = ([0, 0, 4, 0, 4, 4, 0, 4], [4, 0, 12, 0, 12, 8, 4, 8])


def write(root: Path, labels: list[str], boxes: Sequence[list[int]] = BOXES) -> GCGDataset:
    (root / 'images').mkdir(exist_ok=True)
    Image.fromarray(np.zeros((8, 12, 3), np.uint8)).save(root / 'images/a1.jpg')
    captions: dict[str, Any] = dict(
        images=[dict(id='a1')],
        annotations=[
            dict(id=1, image_id='a1', caption='a dog on grass', labels=labels),
            dict(id=2, image_id='a1', caption='a brown dog'),
        ],
    )
    masks: dict[str, Any] = dict(
        images=[dict(id='a1', height=8, width=12)],
        annotations=[dict(id=7 + i, image_id='a1', category_id=1, segmentation=[box]) for i, box in enumerate(boxes)],
    )
    for name, content in (('captions.json', captions), ('masks.json', masks)):
        (root / name).write_text(json.dumps(content))
    return GCGDataset(
        ann_file='captions.json',
        mask_file='masks.json',
        data_root=str(root),
        data_prefix=dict(img_path='images'),
        pipeline=PIPELINE,
        test_mode=True,
    )


def test_labels_belong_to_masks(tmp_path: Path) -> None:
    (made,) = write(tmp_path, ['a dog', 'grass'])
    sample = made['data_samples']
    assert (sample.protocol, sample.img_id) == ('gcg', 'a1') and sample.captions == ['a dog on grass', 'a brown dog']
    assert sample.gt_instances.phrases == ['a dog', 'grass']
    assert sample.gt_instances.masks.flatten(1).sum(1).tolist() == [16, 64]


def test_as_many_labels_as_masks(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r'captions\.json: annotation number 1 of image a1 has 1 labels, .*masks\.json has 2'
    ):
        len(write(tmp_path, ['a dog']))


def test_a_caption_may_ground_nothing(tmp_path: Path) -> None:
    (made,) = write(tmp_path, [], boxes=())
    assert made['data_samples'].gt_instances.masks.shape == (0, 8, 12)


def test_image_without_a_caption(tmp_path: Path) -> None:
    write(tmp_path, ['a dog', 'grass'])
    content = json.loads((tmp_path / 'captions.json').read_text())
    content['images'].append(dict(id='b2'))
    (tmp_path / 'captions.json').write_text(json.dumps(content))
    with pytest.raises(DataError, match=r'captions\.json has no caption of image b2'):
        GCGDataset(ann_file='captions.json', mask_file='masks.json', data_root=str(tmp_path))
