"""Scenes on disk: official formats, mutually consistent, read by the data sets that real data uses."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from flmm_plugin.datasets.safe_pickle import load_plain_pickle
from flmm_plugin.datasets.scenes import write_scenes
from flmm_plugin.registry import DATASETS

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp('scenes') / 'out'
    assert write_scenes(out, 20, seed=5) == {'train': 16, 'val': 2, 'test': 2}
    return out


def ids_of(path: Path) -> np.ndarray:
    blue, green, red = cv2.imread(str(path)).astype(int).transpose(2, 0, 1)
    return red + 256 * green + 65536 * blue


def test_panoptic_and_instances_say_the_same_of_every_pixel(folder):
    instances = json.loads((folder / 'refcoco/instances.json').read_text())
    panoptic = json.loads((folder / 'png/panoptic_train.json').read_text())
    things = {category['id'] for category in panoptic['categories'] if category['isthing']}
    assert things == {category['id'] for category in instances['categories']}
    for record in panoptic['annotations']:
        ids = ids_of(folder / 'png/panoptic_train' / record['file_name'])
        assert set(np.unique(ids)) == {segment['id'] for segment in record['segments_info']}
        assert sum(segment['area'] for segment in record['segments_info']) == ids.size
        drawn = {
            (ids == segment['id']).tobytes() for segment in record['segments_info'] if segment['category_id'] in things
        }
        told = {
            coco_mask.decode(annotation['segmentation']).astype(bool).tobytes()
            for annotation in instances['annotations']
            if annotation['image_id'] == record['image_id'] and annotation['area']
        }
        assert drawn == told


def test_pictures_have_the_sizes_in_turn(tmp_path):
    write_scenes(tmp_path / 'out', 3, seed=5, sizes=((144, 256), (224, 160)))
    written = json.loads((tmp_path / 'out/refcoco/instances.json').read_text())
    assert [(image['height'], image['width']) for image in written['images']] == [(144, 256), (224, 160), (144, 256)]
    for image in written['images']:
        assert cv2.imread(str(tmp_path / 'out/images' / image['file_name'])).shape[:2] == (
            image['height'],
            image['width'],
        )
    sizes = {annotation['image_id']: annotation['segmentation']['size'] for annotation in written['annotations']}
    assert sizes == {1: [144, 256], 2: [224, 160], 3: [144, 256]}


def test_refs_point_at_annotations_of_their_image(folder):
    annotations = {a['id']: a for a in json.loads((folder / 'refcoco/instances.json').read_text())['annotations']}
    refs = load_plain_pickle(str(folder / 'refcoco/refs(unc).p'))
    assert {ref['split'] for ref in refs} == {'train', 'val', 'test'}
    for ref in refs:
        annotation = annotations[ref['ann_id']]
        assert (annotation['image_id'], annotation['category_id']) == (ref['image_id'], ref['category_id'])
        assert [sentence['sent_id'] for sentence in ref['sentences']] == ref['sent_ids']


def test_the_same_seed_writes_the_same_files_by_one_process_or_two(folder, tmp_path):
    write_scenes(tmp_path / 'again', 20, seed=5, workers=2)
    files = sorted(path.relative_to(folder) for path in folder.rglob('*') if path.is_file())
    assert len(files) > 40
    for file in files:
        assert (folder / file).read_bytes() == (tmp_path / 'again' / file).read_bytes(), file


def test_real_data_sets_read_scenes(folder):
    png = DATASETS.build(
        dict(
            type='PNGDataset',
            data_root=str(folder),
            ann_file='png/png_coco_train.json',
            panoptic_file='png/panoptic_train.json',
            data_prefix=dict(img_path='images', seg_path='png/panoptic_train'),
            pipeline=[dict(type='LoadImageRGB'), dict(type='LoadGroundingMasks'), dict(type='PackGroundingInputs')],
        )
    )
    assert len(png) == 16
    sample = png[0]['data_samples']
    masks = np.asarray(sample.gt_instances.masks)
    assert masks[:2].sum(0).max() == 1 and not sample.gt_instances.is_thing[:2].any()
    assert masks.any(0).all() and masks.sum() == masks[0].size  # phrases cover the picture once


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--num', '0'], 'at least one scene'),
        (['--num', '5', '--splits', '0.5', '0.1', '0.1'], 'sum to 1'),
    ],
)
def test_tool_says_what_is_wrong(tmp_path, arguments, message):
    command = [sys.executable, 'tools/make_scenes.py', str(tmp_path / 'out'), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert message in done.stderr and 'Traceback' not in done.stderr


def test_a_folder_with_files_is_left_alone(folder):
    with pytest.raises(FileExistsError, match='not empty'):
        write_scenes(folder, 3)
