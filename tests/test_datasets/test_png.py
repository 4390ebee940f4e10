"""PNG: segments, unions, things and stuff, errors, on files in the real format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flmm_plugin.errors import DataError
from flmm_plugin.registry import DATASETS
from tests.data_files import PIPELINE, id_map


def build(root: Path, **kwargs: Any) -> Any:
    config = dict(
        type='PNGDataset',
        data_root=str(root),
        ann_file='annotations/png_coco_val2017.json',
        panoptic_file='annotations/panoptic_val2017.json',
        data_prefix=dict(img_path='val2017', seg_path='annotations/panoptic_val2017'),
        pipeline=PIPELINE,
    )
    return DATASETS.build({**config, **kwargs})


def test_sample(png_root: Path) -> None:
    dataset = build(png_root)
    assert len(dataset) == 2  # the third narrative grounds nothing
    sample = dataset[1]['data_samples']
    truth, ids = sample.gt_instances, id_map(2)
    assert sample.protocol == 'narrative' and sample.sample_id == 'narrative/2/1'
    assert [segment.phrase for segment in sample.segments] == [-1, 0, -1, 1, -1, 2]
    assert ''.join(segment.text for segment in sample.segments).startswith('in this image there isa dog ')
    assert truth.phrases == ['a dog', 'two dogs', 'the sky']
    assert truth.is_thing.tolist() == [True, True, False]
    assert truth.is_plural.tolist() == [False, True, False]
    for mask, expected in zip(truth.masks.numpy(), ([4097], [4097, 9], [70002]), strict=True):
        np.testing.assert_array_equal(mask, np.isin(ids, expected))


def test_segment_unknown_to_the_panoptic_json(png_root: Path) -> None:
    path = png_root / 'annotations' / 'png_coco_val2017.json'
    narratives = json.loads(path.read_text())
    narratives[0]['segments'][1]['segment_ids'] = ['5']
    path.write_text(json.dumps(narratives))
    with pytest.raises(DataError, match=r'panoptic_val2017.json has no segment \(of image 1\) 5'):
        build(png_root)


def test_segment_absent_from_the_png(png_root: Path) -> None:
    path = png_root / 'annotations' / 'panoptic_val2017' / '000000000001.png'
    pixels = np.array(Image.open(path))
    pixels[5:15, 5:20] = 0
    Image.fromarray(pixels).save(path)
    with pytest.raises(DataError, match=r'000000000001\.png has no pixel of segment 4097'):
        build(png_root)[0]


def test_missing_panoptic_file_is_named(png_root: Path) -> None:
    (png_root / 'annotations' / 'panoptic_val2017.json').unlink()
    with pytest.raises(DataError, match=r'panoptic_val2017\.json does not exist'):
        build(png_root)


def test_narratives_without_a_phrase_are_an_error(png_root: Path) -> None:
    path = png_root / 'annotations' / 'png_coco_val2017.json'
    path.write_text(json.dumps(json.loads(path.read_text())[2:]))
    with pytest.raises(DataError, match='no narrative with a grounded phrase'):
        build(png_root)


def narratives_of(panoptic: dict) -> list[dict]:
    """A narrative for each image of a panoptic JSON, a phrase for each of its segments."""
    return [
        dict(
            image_id=record['image_id'],
            segments=[
                dict(utterance=str(s['id']), segment_ids=[str(s['id'])], plural=False, noun=True)
                for s in record['segments_info']
            ],
        )
        for record in panoptic['annotations']
    ]


def test_real_panoptic_ids(real_coco: Path, tmp_path: Path) -> None:
    """Every segment of 40 official id PNGs decodes to the area that COCO states."""
    panoptic = json.loads((real_coco / 'annotations' / 'panoptic_val2017.json').read_text())
    (tmp_path / 'png.json').write_text(json.dumps(narratives_of(panoptic)))
    dataset = build(real_coco, ann_file=str(tmp_path / 'png.json'))
    assert len(dataset) == len(panoptic['annotations']) >= 40
    for item, record in zip(dataset, panoptic['annotations'], strict=True):
        masks = item['data_samples'].gt_instances.masks
        assert masks.flatten(1).sum(1).tolist() == [s['area'] for s in record['segments_info']]
