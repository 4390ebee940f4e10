"""gRefCOCO: several targets, none, crowds and errors, on files in the real format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from flmm_plugin.datasets.transforms.masks import read_panoptic_ids
from flmm_plugin.errors import DataError
from flmm_plugin.registry import DATASETS
from tests.data_files import PIPELINE


def build(root: Path, **kwargs: Any) -> Any:
    config = dict(
        type='GRefCOCODataset',
        data_root=str(root),
        ann_file='grefcoco/instances.json',
        split_file='grefcoco/grefs(unc).json',
        data_prefix=dict(img_path='train2014'),
        pipeline=PIPELINE,
    )
    return DATASETS.build({**config, **kwargs})


def edit_refs(root: Path, **changes: Any) -> None:
    path = root / 'grefcoco' / 'grefs(unc).json'
    refs = json.loads(path.read_text())
    refs[0].update(changes)
    path.write_text(json.dumps(refs))


def test_several_targets_are_united_and_none_is_an_empty_mask(grefcoco_root: Path) -> None:
    dataset = build(grefcoco_root)
    sample = dataset[0]['data_samples']
    truth, masks = sample.gt_instances, sample.gt_instances.masks.numpy()
    assert len(dataset) == 2
    assert sample.protocol == 'generalized/independent/all_sentences'
    assert truth.phrases == ['expression 0', 'expression 1', 'expression 2']
    assert truth.is_plural.tolist() == [True, False, False]
    coco = COCO(str(grefcoco_root / 'grefcoco' / 'instances.json'))
    first, second = (coco.annToMask(coco.anns[key]).astype(bool) for key in (11, 12))
    np.testing.assert_array_equal(masks[0], first | second)
    assert not masks[1].any()
    np.testing.assert_array_equal(masks[2], second)


def test_expressions_are_alternatives_or_one_answer(grefcoco_root: Path) -> None:
    alone = build(grefcoco_root)[0]['data_samples'].segments
    together = build(grefcoco_root, protocol='generalized/concat/first_sentence')[0]['data_samples'].segments
    assert [segment.branch for segment in alone] == [0, 1, 2]
    assert ''.join(segment.text for segment in together) == 'expression 0.expression 1.expression 2.'


def test_crowds_are_left_out_of_the_union(grefcoco_root: Path) -> None:
    path = grefcoco_root / 'grefcoco' / 'instances.json'
    instances = json.loads(path.read_text())
    instances['annotations'][0]['iscrowd'] = 1
    path.write_text(json.dumps(instances))
    masks = build(grefcoco_root)[0]['data_samples'].gt_instances.masks
    assert masks[0].equal(masks[2])


def test_missing_annotation_is_named(grefcoco_root: Path) -> None:
    edit_refs(grefcoco_root, ann_id=[11, 77])
    with pytest.raises(DataError, match=r'instances\.json has no annotation 77'):
        build(grefcoco_root)


@pytest.mark.parametrize('protocol', ['independent/all_sentences', 'generalized/alone/all_sentences'])
def test_protocol_names_the_task(grefcoco_root: Path, protocol: str) -> None:
    with pytest.raises(ValueError, match='generalized/'):
        build(grefcoco_root, protocol=protocol)


def segmentation(real_coco: Path, record: dict) -> Any:
    """Polygons, or the RLE of a panoptic segment."""
    if 'segmentation' in record:
        return record['segmentation']
    folder = real_coco / 'annotations' / 'panoptic_val2017'
    mask = read_panoptic_ids(str(folder / Path(record['panoptic_png']).name)) == record['segment_id']
    encoded = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {'size': encoded['size'], 'counts': encoded['counts'].decode()}


def test_people_s_expressions_on_real_pictures(real_coco: Path, tmp_path: Path) -> None:
    """22 expressions written by people, 5 of which mean nothing in their picture, brought into gRefCOCO's files."""
    source = real_coco / 'annotations' / 'referring_val2017.json'
    records = json.loads(source.read_text())
    images = [
        {key: record[key] for key in ('file_name', 'height', 'width')} | {'id': record['image_id']}
        for record in records
    ]
    annotations = [
        dict(id=number, image_id=record['image_id'], segmentation=segmentation(real_coco, record), iscrowd=0)
        for number, record in enumerate(records)
        if not record['no_target']
    ]
    refs = [
        dict(
            ref_id=number,
            ann_id=[-1] if record['no_target'] else [number],
            image_id=record['image_id'],
            split='val',
            sentences=[dict(raw=record['expression'])],
        )
        for number, record in enumerate(records)
    ]
    (tmp_path / 'instances.json').write_text(json.dumps(dict(images=images, annotations=annotations)))
    (tmp_path / 'grefs.json').write_text(json.dumps(refs))
    dataset = build(
        real_coco,
        ann_file=str(tmp_path / 'instances.json'),
        split_file=str(tmp_path / 'grefs.json'),
        data_prefix=dict(img_path='val2017'),
        split='val',
    )
    masks = [mask for item in dataset for mask in item['data_samples'].gt_instances.masks]
    assert len(masks) == len(records) == 22
    assert sum(not mask.any() for mask in masks) == 5
