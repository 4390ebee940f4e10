"""RefCOCO: protocols, masks and errors, on files in the real format."""

from __future__ import annotations

import json
import os
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.datasets import RefCocoDataset as MMDetRefCoco
from mmengine.dataset import pseudo_collate
from pycocotools.coco import COCO

from flmm_plugin.datasets.expressions import ARRANGEMENTS
from flmm_plugin.errors import DataError
from flmm_plugin.registry import DATASETS
from flmm_plugin.structures import Segment
from tests.data_files import HEIGHT, PIPELINE, SQUARE, WIDTH, write_image

FILES = dict(
    ann_file='refcoco/instances.json', split_file='refcoco/refs(unc).p', data_prefix=dict(img_path='train2014/')
)


def build(root: Path, **kwargs: Any) -> Any:
    config = dict(type='RefCOCODataset', data_root=str(root), pipeline=PIPELINE, **FILES)
    return DATASETS.build({**config, **kwargs})


def texts(dataset: Any, index: int) -> list[str]:
    return dataset[index]['data_samples'].gt_instances.phrases


def test_sample_has_what_the_model_needs(refcoco_root: Path) -> None:
    dataset = build(refcoco_root)
    assert len(dataset) == 2
    item = dataset[0]
    sample = item['data_samples']
    assert item['inputs'].shape == (3, HEIGHT, WIDTH) and item['inputs'].dtype == torch.uint8
    assert sample.img_id == 1 and sample.ori_shape == (HEIGHT, WIDTH) and sample.protocol == 'concat/first_sentence'
    assert [(segment.text, segment.phrase) for segment in sample.segments] == [
        ('the thing 11 0', 0),
        ('.', -1),
        ('the thing 12 0', 1),
        ('.', -1),
    ]
    masks = sample.gt_instances.masks
    assert masks.shape == (2, HEIGHT, WIDTH) and masks.dtype == torch.bool
    assert masks[0, 5:25, 5:25].all() and masks[0].sum() == 400
    assert sample.gt_instances.is_thing.all() and not sample.gt_instances.is_plural.any()
    np.testing.assert_array_equal(sample.gt_masks.masks, masks.numpy())


@pytest.mark.parametrize('sentences, mode', [('first_sentence', 'select_first'), ('all_sentences', 'original')])
def test_agrees_with_mmdet(refcoco_root: Path, sentences: str, mode: str) -> None:
    ours = build(refcoco_root, protocol=f'concat/{sentences}')
    load = dict(type='mmdet.LoadAnnotations', with_mask=True, with_bbox=False, with_label=False)
    theirs = MMDetRefCoco(
        data_root=str(refcoco_root),
        text_mode=mode,
        pipeline=[dict(type='mmdet.LoadImageFromFile', imdecode_backend='pillow'), load],
        **FILES,
    )
    expected = {item['img_id']: item for item in theirs}
    assert len(ours) == len(expected)
    for item in ours:
        sample = item['data_samples']
        other = expected[sample.img_id]
        assert sample.gt_instances.phrases == other['text']
        np.testing.assert_array_equal(sample.gt_instances.masks.numpy(), other['gt_masks'].masks.astype(bool))
        np.testing.assert_array_equal(item['inputs'].permute(1, 2, 0).numpy(), other['img'][..., ::-1])


def test_independent_expressions_are_branches(refcoco_root: Path) -> None:
    together, alone = (build(refcoco_root, protocol=f'{arrangement}/all_sentences') for arrangement in ARRANGEMENTS)
    for one, other in zip(together, alone, strict=True):
        one, other = one['data_samples'], other['data_samples']
        assert other.segments == [Segment(text, i, branch=i) for i, text in enumerate(one.gt_instances.phrases)]
        assert torch.equal(one.gt_instances.masks, other.gt_instances.masks)


def test_random_sentence_is_drawn_at_each_access(refcoco_root: Path) -> None:
    dataset = build(refcoco_root, protocol='concat/random_sentence')
    random.seed(0)
    drawn = {tuple(texts(dataset, 0)) for _ in range(40)}
    assert len(drawn) == 9  # 3 sentences of one reference x 3 of the other


@pytest.mark.parametrize('split, pixels', [('val', 300), ('testA', 400)])
def test_splits_and_rle(refcoco_root: Path, split: str, pixels: int) -> None:
    dataset = build(refcoco_root, split=split)
    assert len(dataset) == 1
    assert dataset[0]['data_samples'].gt_instances.masks.sum() == pixels


def test_results_of_several_splits_are_told_apart(refcoco_root: Path) -> None:
    dataset = build(refcoco_root, split=['val', 'testA'], name='refcoco')
    samples = [item['data_samples'] for item in dataset]
    assert [sample.dataset_name for sample in samples] == ['refcoco_val', 'refcoco_testA']
    assert len({sample.sample_id for sample in samples}) == 2
    assert build(refcoco_root, split='val')[0]['data_samples'].dataset_name == ''


def test_collated_batch_keeps_sizes(refcoco_root: Path) -> None:
    batch = pseudo_collate([item for item in build(refcoco_root)])
    assert [tuple(image.shape) for image in batch['inputs']] == [(3, HEIGHT, WIDTH)] * 2
    assert len(batch['data_samples']) == 2


def test_unknown_split_names_the_known_ones(refcoco_root: Path) -> None:
    with pytest.raises(DataError, match=r"no reference of split 'minival'; it has: testA, train, val"):
        build(refcoco_root, split='minival')


@pytest.mark.parametrize('missing', ['refcoco/instances.json', 'refcoco/refs(unc).p'])
def test_missing_file_is_named_with_the_remedy(refcoco_root: Path, missing: str) -> None:
    (refcoco_root / missing).unlink()
    with pytest.raises(DataError) as error:
        build(refcoco_root)
    assert str(refcoco_root / missing) in str(error.value) and 'data_root=FOLDER' in str(error.value)


def test_missing_folder_of_images_is_named(refcoco_root: Path) -> None:
    with pytest.raises(DataError, match=r'the folder .*elsewhere does not exist'):
        build(refcoco_root, data_prefix=dict(img_path='elsewhere'))


def test_hostile_pickle_does_not_run(refcoco_root: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(refcoco_root / 'hostile'),)

    (refcoco_root / 'refcoco' / 'refs(unc).p').write_bytes(pickle.dumps([Hostile()]))
    with pytest.raises(DataError, match=r'refs\(unc\)\.p.*posix\.mkdir'):
        build(refcoco_root)
    assert not (refcoco_root / 'hostile').exists()


def edit_instances(root: Path, **changes: Any) -> None:
    path = root / 'refcoco' / 'instances.json'
    instances = json.loads(path.read_text())
    instances['annotations'][0].update(changes)
    path.write_text(json.dumps(instances))


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(id=99), 'instances.json has no annotation 11'),
        (dict(segmentation=[]), 'annotation 11 of image 1'),
        (dict(segmentation=[[x + 100 for x in SQUARE[0]]]), 'annotation 11 of image 1: the mask has no pixel'),
        (dict(segmentation={'size': [7, 9], 'counts': [63]}), r'annotation 11 of image 1: the RLE is \(7, 9\)'),
    ],
)
def test_bad_annotation_names_file_and_id(refcoco_root: Path, changes: dict, message: str) -> None:
    edit_instances(refcoco_root, **changes)
    with pytest.raises(DataError, match=message):
        build(refcoco_root)[0]


def test_damaged_json_is_named(refcoco_root: Path) -> None:
    (refcoco_root / 'refcoco' / 'instances.json').write_text('{"images": [')
    with pytest.raises(DataError, match=r'instances\.json is not JSON'):
        build(refcoco_root)


def test_damaged_and_missing_images_are_named(refcoco_root: Path) -> None:
    dataset = build(refcoco_root)
    path = refcoco_root / 'train2014' / '000000000001.png'
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match=r'000000000001\.png cannot be decoded'):
        dataset[0]
    path.unlink()
    with pytest.raises(DataError, match=r'000000000001\.png cannot be read'):
        dataset[0]


def test_image_of_another_size_is_an_error(refcoco_root: Path) -> None:
    write_image(refcoco_root / 'train2014' / '000000000001.png', 1, height=10, width=20)
    with pytest.raises(DataError, match='10 x 20 pixels, but image 1 is annotated as 40 x 60'):
        build(refcoco_root)[0]


def test_protocol_must_be_known(refcoco_root: Path) -> None:
    with pytest.raises(ValueError, match='concat'):
        build(refcoco_root, protocol='joined/first_sentence')


def test_real_annotations(real_coco: Path, tmp_path: Path) -> None:
    """The polygons and RLE of 50 images decode as pycocotools' own class decodes them."""
    path = real_coco / 'annotations' / 'instances_val2017.json'
    annotations = json.loads(path.read_text())['annotations']
    refs = [
        dict(ref_id=a['id'], ann_id=a['id'], image_id=a['image_id'], split='val', sentences=[dict(raw=str(a['id']))])
        for a in annotations
    ]
    (tmp_path / 'refs.p').write_bytes(pickle.dumps(refs))
    dataset = build(
        real_coco,
        ann_file=str(path),
        split_file=str(tmp_path / 'refs.p'),
        data_prefix=dict(img_path='val2017'),
        split='val',
    )
    coco = COCO(str(path))
    assert len(dataset) >= 45
    for item in dataset:
        truth = item['data_samples'].gt_instances
        for text, mask in zip(truth.phrases, truth.masks.numpy(), strict=True):
            np.testing.assert_array_equal(mask, coco.annToMask(coco.anns[int(text)]).astype(bool))
