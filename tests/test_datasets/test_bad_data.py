"""Damage of each kind, as an error that names file and id, and left out with a counted warning."""

from __future__ import annotations

import json
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.dataset import pseudo_collate
from mmengine.logging import MMLogger
from PIL import Image
from torch.utils.data import DataLoader

from flmm_plugin.errors import DataError, UserError
from tests.data_files import SQUARE
from tests.test_datasets import test_png, test_reasonseg, test_refcoco


class Hostile:
    def __reduce__(self) -> tuple:
        return os.mkdir, ('hostile',)


def edit_json(path: Path, change: Callable[[Any], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def image(root: Path) -> Path:
    return root / 'train2014' / '000000000001.png'


def truncate_jpeg(root: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(image(root), format='JPEG')
    image(root).write_bytes(image(root).read_bytes()[:-600])


def edit_annotation(root: Path, **changes: Any) -> None:
    edit_json(root / 'refcoco' / 'instances.json', lambda content: content['annotations'][0].update(changes))


REFCOCO_DAMAGE = {
    'truncated JPEG': (truncate_jpeg, r'train2014/000000000001\.png cannot be decoded'),
    'missing file': (lambda root: image(root).unlink(), r'train2014/000000000001\.png cannot be read'),
    'polygon outside the image': (
        lambda root: edit_annotation(root, segmentation=[[x + 100 for x in SQUARE[0]]]),
        r'instances\.json: annotation 11 of image 1: the mask has no pixel inside the image of 40 x 60',
    ),
    'annotation without a mask': (
        lambda root: edit_annotation(root, segmentation=[]),
        r'instances\.json: annotation 11 of image 1: the segmentation cannot be decoded',
    ),
    'unknown annotation': (lambda root: edit_annotation(root, id=99), r'instances\.json has no annotation 11'),
}


@pytest.fixture
def warnings_of(tmp_path: Path) -> Callable[[], str]:
    """What mmengine's logger wrote so far, into its file as in a run."""
    path = tmp_path / 'log.txt'
    MMLogger.get_instance(f'bad_data_{tmp_path.name}', log_file=str(path))
    return path.read_text


@pytest.mark.parametrize('damage', REFCOCO_DAMAGE)
def test_damage_is_an_error_that_names_file_and_id(refcoco_root: Path, damage: str) -> None:
    harm, message = REFCOCO_DAMAGE[damage]
    harm(refcoco_root)
    with pytest.raises(DataError, match=message):
        test_refcoco.build(refcoco_root)[0]


@pytest.mark.parametrize('damage', [name for name in REFCOCO_DAMAGE if name != 'unknown annotation'])
def test_next_sample_stands_in_and_is_counted(refcoco_root: Path, damage: str, warnings_of: Callable[[], str]) -> None:
    harm, message = REFCOCO_DAMAGE[damage]
    harm(refcoco_root)
    dataset = test_refcoco.build(refcoco_root, on_bad_data='skip')
    assert len(dataset) == 2 and dataset.num_bad == 0
    assert [dataset[index]['data_samples'].img_id for index in (0, 1, 0)] == [2, 2, 2]
    assert dataset.num_bad == 1
    log = warnings_of()
    assert log.count('left out, 1 of 2 samples so far') == 1
    assert re.search(message + r'.* \(sample train/1\)', log)


def test_bad_record_is_left_out_while_loading(refcoco_root: Path, warnings_of: Callable[[], str]) -> None:
    edit_annotation(refcoco_root, id=99)
    dataset = test_refcoco.build(refcoco_root, on_bad_data='skip')
    assert dataset[0]['data_samples'].gt_instances.phrases == ['the thing 12 0']
    assert 'instances.json has no annotation 11' in warnings_of()
    assert '1 bad records are left out; 2 samples remain' in warnings_of()


def erase_segment(root: Path) -> None:
    path = root / 'annotations' / 'panoptic_val2017' / '000000000001.png'
    pixels = np.array(Image.open(path))
    pixels[5:15, 5:20] = 0
    Image.fromarray(pixels).save(path)


def unknown_segment(root: Path) -> None:
    def change(narratives: list) -> None:
        narratives[0]['segments'][1]['segment_ids'] = ['5']

    edit_json(root / 'annotations' / 'png_coco_val2017.json', change)


@pytest.mark.parametrize(
    'harm, message',
    [
        (erase_segment, r'000000000001\.png has no pixel of segment 4097 .*of image 1'),
        (unknown_segment, r'panoptic_val2017\.json has no segment \(of image 1\) 5'),
    ],
)
def test_id_absent_from_panoptic_files(png_root: Path, harm: Callable, message: str) -> None:
    harm(png_root)
    with pytest.raises(DataError, match=message):
        test_png.build(png_root)[0]
    dataset = test_png.build(png_root, on_bad_data='skip')
    assert dataset[0]['data_samples'].img_id == 2
    assert dataset.num_bad + len(dataset.left_out) == 1


def test_bad_shapes_are_left_out(reasonseg_root: Path) -> None:
    test_reasonseg.edit(reasonseg_root, shapes=[dict(label='target', points=[])])
    dataset = test_reasonseg.build(reasonseg_root, on_bad_data='skip')
    assert dataset[0]['data_samples'].img_id == 'street_2' and dataset.num_bad == 1


@pytest.mark.parametrize('on_bad_data', ['error', 'skip'])
@pytest.mark.parametrize('content', [pickle.dumps([Hostile()]), b'\x80\x02cut'])
def test_hostile_and_damaged_pickles_are_errors_always(refcoco_root: Path, on_bad_data: str, content: bytes) -> None:
    (refcoco_root / 'refcoco' / 'refs(unc).p').write_bytes(content)
    with pytest.raises(DataError, match=r'refs\(unc\)\.p is no pickle of plain data'):
        test_refcoco.build(refcoco_root, on_bad_data=on_bad_data)
    assert not Path('hostile').exists()


def test_nothing_readable_is_an_error(refcoco_root: Path) -> None:
    for path in (refcoco_root / 'train2014').iterdir():
        path.unlink()
    with pytest.raises(DataError, match='none of the 2 samples can be read'):
        test_refcoco.build(refcoco_root, on_bad_data='skip')[0]


def test_a_test_refuses_to_leave_samples_out(refcoco_root: Path) -> None:
    with pytest.raises(UserError, match=r"on_bad_data='skip' is for training.*check_data"):
        test_refcoco.build(refcoco_root, on_bad_data='skip', test_mode=True)
    with pytest.raises(ValueError, match="'error' or 'skip'"):
        test_refcoco.build(refcoco_root, on_bad_data='ignore')


def test_workers_count_together_and_agree_with_none(png_root: Path) -> None:
    """Three narratives, one of them bad, read for two epochs by two workers."""

    def third(narratives: list) -> None:
        narratives[2]['segments'] = [dict(utterance='a dog', segment_ids=['4097'], plural=False)]

    edit_json(png_root / 'annotations' / 'png_coco_val2017.json', third)
    erase_segment(png_root)
    seen = []
    for workers in (0, 2):
        dataset = test_png.build(png_root, on_bad_data='skip')
        loader = DataLoader(dataset, num_workers=workers, collate_fn=pseudo_collate)
        seen.append([batch['data_samples'][0].img_id for _ in range(2) for batch in loader])
        assert dataset.num_bad == 1
    assert seen == [[2, 2, 3] * 2] * 2
