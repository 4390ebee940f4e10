"""Damaged files of every data set: samples as before, or an error that a user can mend."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('hypothesis')

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from flmm_plugin.errors import DataError
from flmm_plugin.registry import DATASETS
from tests.data_files import SQUARE, rle, write_grefcoco, write_png, write_reasonseg, write_refcoco
from tests.test_datasets import test_check, test_folder, test_gcg, test_memory
from tests.test_properties import bounded, bytes_damage, damage, harm, in_a_child


def write_folder(root: Path) -> Path:
    test_folder.write_image(root / 'pictures/cat.jpg', 0)
    test_folder.square(root / 'masks/cat.png')
    compressed = {**rle(True), 'counts': rle(True)['counts'].decode()}
    test_folder.listed(
        root,
        dict(image='cat.jpg', expression='an eye', mask='cat.png'),
        dict(image='cat.jpg', expression=['a nose', 'its nose'], segmentation=SQUARE),
        dict(image='cat.jpg', expression='a tail', segmentation=compressed, height=40, width=60),
    )
    return root


def folder(root: Path) -> dict:
    return test_folder.config(root, ann_file='mine.json')


def write_gcg(root: Path) -> Path:
    root.mkdir()
    test_gcg.write(root, ['a dog', 'grass'])
    return root


def gcg(root: Path) -> dict:
    pipeline = [dict(type='LoadImageRGB'), dict(type='LoadGroundingMasks'), dict(type='PackGroundingInputs')]
    files = dict(ann_file='captions.json', mask_file='masks.json', data_prefix=dict(img_path='images'))
    return dict(type='GCGDataset', data_root=str(root), pipeline=pipeline, **files)


KINDS: list[tuple[str, Callable, Callable[[Path], dict]]] = [
    ('refcoco/instances.json', write_refcoco, test_check.refcoco),
    ('refcoco/refs(unc).p', write_refcoco, test_check.refcoco),
    ('grefcoco/grefs(unc).json', write_grefcoco, test_memory.grefcoco),
    ('annotations/png_coco_val2017.json', write_png, lambda root: {**test_check.png(root), 'test_mode': False}),
    ('annotations/panoptic_val2017.json', write_png, lambda root: {**test_check.png(root), 'test_mode': False}),
    ('ReasonSeg/val/beach_1.json', write_reasonseg, test_memory.reasonseg),
    ('mine.json', write_folder, folder),
    ('captions.json', write_gcg, gcg),
    ('masks.json', write_gcg, gcg),
]


def masks_of(config: dict) -> dict[str, np.ndarray] | None:
    """The mask of each phrase in each image, or None where the data set cannot be read."""
    try:
        found = {}
        for item in DATASETS.build(config):
            sample = item['data_samples']
            for phrase, mask in zip(sample.gt_instances.phrases, sample.gt_instances.masks.numpy(), strict=True):
                found[f'{sample.img_id}: {phrase}'] = mask
        return found
    except DataError as error:
        assert str(error)
        return None


#: What these fields hold says which mask is meant; where they are damaged another mask may be right.
MEANING = {
    'labels',
    'segmentation',
    'mask',
    'segment_ids',
    'ann_id',
    'shapes',
    'image_id',
    'id',
    'image',
    'file_name',
    'iscrowd',
}


@pytest.mark.parametrize('name, write, config', KINDS, ids=[name for name, _, _ in KINDS])
def test_damaged_records(name: str, write: Callable, config: Callable[[Path], dict], tmp_path: Path) -> None:
    root = write(tmp_path / 'data')
    path = root / name
    is_pickle = path.suffix == '.p'
    whole = pickle.loads(path.read_bytes()) if is_pickle else json.loads(path.read_text())
    expected = masks_of(config(root))
    assert expected

    @bounded
    @given(damage(whole), st.sampled_from(['error', 'skip']))
    def work(changes: list, on_bad_data: str) -> None:
        content = copy.deepcopy(whole)
        harm(content, changes)
        path.write_bytes(pickle.dumps(content, protocol=2) if is_pickle else json.dumps(content).encode())
        masks = masks_of({**config(root), 'on_bad_data': on_bad_data})
        if masks is None or any(MEANING & {str(key) for key in where} for _, where, _ in changes):
            return
        for phrase in masks.keys() & expected.keys():
            np.testing.assert_array_equal(masks[phrase], expected[phrase])

    in_a_child(work)


@pytest.mark.parametrize('name, write, config', KINDS, ids=[name for name, _, _ in KINDS])
def test_damaged_files(name: str, write: Callable, config: Callable[[Path], dict], tmp_path: Path) -> None:
    root = write(tmp_path / 'data')
    path = root / name
    whole = path.read_bytes()

    @bounded
    @given(bytes_damage(whole))
    def work(content: bytes) -> None:
        path.write_bytes(content)
        masks_of(config(root))

    in_a_child(work)


def test_damaged_questions(tmp_path: Path) -> None:
    """Each question that is read has the label that its line states."""
    (tmp_path / 'images').mkdir()
    Image.new('RGB', (8, 6)).save(tmp_path / 'images/a.jpg')
    texts = ['Is there a dog in the image?', 'Is there an apple in the image?', 'What is this?']
    whole = [dict(question_id=n, image='a.jpg', text=t, label='no' if n else 'yes') for n, t in enumerate(texts)]
    config = dict(type='YesNoDataset', data_root=str(tmp_path), splits=dict(random='x.json'), test_mode=True)
    config |= dict(data_prefix=dict(img_path='images'), pipeline=[dict(type='LoadImageRGB'), dict(type='PackQuestion')])

    def write(records: list) -> bytes:
        return '\n'.join(map(json.dumps, records)).encode()

    @bounded
    @given(st.one_of(damage(whole), bytes_damage(write(whole))))
    def work(changes: list | bytes) -> None:
        content = copy.deepcopy(whole)
        if isinstance(changes, list):
            harm(content, changes)
        (tmp_path / 'x.json').write_bytes(changes if isinstance(changes, bytes) else write(content))
        try:
            samples = [item['data_samples'] for item in DATASETS.build(config)]
        except DataError as error:
            assert str(error)
            return
        if isinstance(changes, list):
            stated = [(record['text'], record['label'].strip().lower() == 'yes') for record in content]
            assert [(sample.prompt, sample.label) for sample in samples] == stated

    in_a_child(work)
