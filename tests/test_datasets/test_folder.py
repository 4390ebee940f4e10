"""Data of one's own: folders of masks, a JSON of masks, polygons and RLE; what is wrong is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flmm_plugin.datasets.check import check_data_set
from flmm_plugin.errors import DataError
from flmm_plugin.images import ORIENTATION
from flmm_plugin.registry import DATASETS
from tests.data_files import HEIGHT, PIPELINE, SQUARE, WIDTH, rle, write_image


def square(path: Path, left: int = 5, value: int = 255, mode: str = 'L') -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[5:25, left : left + 20] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).convert(mode).save(path)
    return mask > 0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two pictures: the first with two masks, the second with one."""
    for number, name in enumerate(('cat.jpg', 'dog.PNG')):
        write_image(tmp_path / 'pictures' / name, number)
    square(tmp_path / 'masks/cat/the left eye.png')
    square(tmp_path / 'masks/cat/the right eye.png', left=30, value=1)
    square(tmp_path / 'masks/dog/a tail.png')
    return tmp_path


def config(root: Path, **changes: Any) -> dict:
    prefix = dict(img_path='pictures', mask_path='masks')
    return {**dict(type='FolderDataset', data_root=str(root), data_prefix=prefix, pipeline=PIPELINE), **changes}


def listed(root: Path, *records: Any) -> dict:
    (root / 'mine.json').write_text(json.dumps(records))
    return config(root, ann_file='mine.json')


def test_folders_of_masks(root: Path) -> None:
    first, second = DATASETS.build(config(root, name='mine', protocol='independent/all_sentences'))
    sample = first['data_samples']
    assert (sample.img_id, sample.sample_id, sample.dataset_name) == ('cat.jpg', 'mine/cat.jpg', 'mine')
    assert sample.gt_instances.phrases == ['the left eye', 'the right eye']
    assert sample.gt_instances.masks.flatten(1).sum(1).tolist() == [400, 400]
    assert sample.gt_instances.masks[1, 5:25, 30:50].all()
    assert second['data_samples'].gt_instances.phrases == ['a tail']


def test_one_expression_for_all(root: Path) -> None:
    for name in ('cat', 'dog'):
        square(root / f'masks/{name}.png')
    dataset = DATASETS.build(config(root, expression='the lesion'))
    assert [item['data_samples'].gt_instances.phrases for item in dataset] == [['the lesion']] * 2


def test_a_list_of_masks_polygons_and_rle(root: Path) -> None:
    records = [
        dict(image='cat.jpg', expression=['the left eye', 'an eye'], mask='cat/the left eye.png'),
        dict(image='dog.PNG', expression='a tail', segmentation=rle(True) | {'counts': rle(True)['counts'].decode()}),
        dict(image='cat.jpg', expression='the nose', segmentation=[[5, 5, 25, 25], *SQUARE]),
    ]
    dataset = DATASETS.build({**listed(root, *records), 'protocol': 'concat/all_sentences'})
    cat, dog = (item['data_samples'].gt_instances for item in dataset)
    assert cat.phrases == ['the left eye', 'an eye', 'the nose'] and dog.phrases == ['a tail']
    assert cat.masks[0].equal(cat.masks[1]) and cat.masks[2].sum() == 400 and dog.masks.sum() == 300
    assert check_data_set(listed(root, *records)).notes[0].startswith('1 polygons of fewer than three corners')


@pytest.mark.parametrize('mode', ['1', 'L', 'P', 'RGB', 'RGBA', 'LA', 'I;16', 'I'])
def test_masks_of_every_mode(root: Path, mode: str) -> None:
    expected = square(root / 'masks/dog/a tail.png', left=20, mode=mode)
    found = DATASETS.build(config(root))[1]['data_samples'].gt_instances.masks[0].numpy()
    np.testing.assert_array_equal(found, expected)


def test_hidden_colours_of_a_mask_are_not_meant(root: Path) -> None:
    expected = square(root / 'masks/dog/a tail.png')
    image = Image.new('RGBA', (WIDTH, HEIGHT), 'white')
    image.putalpha(Image.fromarray(expected))
    image.save(root / 'masks/dog/a tail.png')
    found = DATASETS.build(config(root))[1]['data_samples'].gt_instances.masks[0].numpy()
    np.testing.assert_array_equal(found, expected)


def test_colours_of_a_mask_are_what_is_seen(root: Path) -> None:
    """Whichever number a palette gives to black, and however dark the other colour is."""
    path = root / 'masks/dog/a tail.png'
    expected = square(path)
    dark = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    dark[expected] = (0, 0, 3)
    indexed = {}
    palettes = {'white first': [255] * 3 + [0] * 3, 'without colours': [0] * 6, 'VOC': [0, 0, 0, 128, 0, 0]}
    for name, colors in palettes.items():
        indexed[name] = Image.fromarray((expected != (name == 'white first')).astype(np.uint8), 'P')
        indexed[name].putpalette(colors)
    for image in (Image.fromarray(dark), Image.fromarray(dark * 80).quantize(2), *indexed.values()):
        image.save(path)
        found = DATASETS.build(config(root))[1]['data_samples'].gt_instances.masks[0].numpy()
        np.testing.assert_array_equal(found, expected)
    dark[0, 0] = (1, 0, 0)
    Image.fromarray(dark).save(path)
    with pytest.raises(DataError, match=r'a tail\.png has 3 values'):
        DATASETS.build(config(root))[1]


def test_masks_of_every_ending_are_found(root: Path) -> None:
    (root / 'masks/dog/a tail.png').rename(root / 'masks/dog/a tail.PNG')
    Image.open(root / 'masks/dog/a tail.PNG').save(root / 'masks/dog/a cafe\u0301.bmp')
    (root / 'masks/dog/._a tail.PNG').write_text('what macOS keeps')
    square(root / 'masks/bird/a wing.png')
    dataset = DATASETS.build(config(root, protocol='concat/all_sentences'))
    assert dataset[1]['data_samples'].gt_instances.phrases == ['a caf\u00e9', 'a tail']
    assert dataset.notes == [f'{root}/masks has masks of 1 pictures that are not there (bird)']
    (root / 'pictures/fox.heic').write_bytes(b'')
    with pytest.raises(DataError, match=r'fox\.heic has no mask'):
        DATASETS.build(config(root))
    (root / 'pictures/fox.heic').unlink()
    square(root / 'masks/dog/a tail.png')
    with pytest.raises(DataError, match=r"which mask of dog/a tail\.PNG, dog/a tail\.png is that of 'a tail'"):
        DATASETS.build(config(root))


def test_the_mask_says_how_a_photo_is_turned(root: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.new('RGB', (WIDTH, HEIGHT)).save(root / 'pictures/dog.PNG', exif=exif)
    assert DATASETS.build(config(root))[1]['data_samples'].ori_shape == (HEIGHT, WIDTH)
    Image.new('L', (HEIGHT, WIDTH), 255).save(root / 'masks/dog/a tail.png')
    assert DATASETS.build(config(root))[1]['data_samples'].ori_shape == (WIDTH, HEIGHT)


BAD_MASKS = {
    'a gradient': (
        lambda path: Image.linear_gradient('L').resize((WIDTH, HEIGHT)).save(path),
        r'a tail\.png has \d+ values',
    ),
    'a JPEG': (lambda path: Image.new('L', (WIDTH, HEIGHT), 255).save(path, format='JPEG'), 'is a JPEG'),
    'nothing': (lambda path: Image.new('L', (WIDTH, HEIGHT)).save(path), r'a tail\.png: the mask has no pixel'),
    'two that are not 0': (lambda path: square_of_two(path), r'a tail\.png has 2 values \(1 ... 2\)'),
    'a number that is none': (lambda path: not_a_number(path), r'a tail\.png has the value nan'),
    'another size': (
        lambda path: Image.new('L', (5, 5), 255).save(path),
        r'40 x 60 pixels, but .*/a tail\.png\) is annotated as 5 x 5',
    ),
    'no picture': (lambda path: path.write_bytes(b'text'), r'a tail\.png cannot be decoded'),
}


def not_a_number(path: Path) -> None:
    Image.fromarray(np.where(np.eye(HEIGHT, WIDTH) > 0, np.nan, 0).astype(np.float32)).save(path, format='TIFF')


def square_of_two(path: Path) -> None:
    Image.fromarray(np.where(np.eye(HEIGHT, WIDTH) > 0, 1, 2).astype(np.uint8)).save(path)


@pytest.mark.parametrize('kind', BAD_MASKS)
def test_what_is_no_mask_is_named(root: Path, kind: str) -> None:
    harm, message = BAD_MASKS[kind]
    harm(root / 'masks/dog/a tail.png')
    with pytest.raises(DataError, match=message):
        list(DATASETS.build(config(root)))
    assert len(check_data_set(config(root)).problems) == 1
    remaining = {item['data_samples'].img_id for item in DATASETS.build(config(root, on_bad_data='skip'))}
    assert remaining == {'cat.jpg'}


@pytest.mark.parametrize(
    'record, message',
    [
        ('cat.jpg', "record number 1 is 'cat.jpg', where an object"),
        (dict(image='cat.jpg', mask='cat/the left eye.png'), "has no 'expression'"),
        (dict(image='cat.jpg', expression=' ', mask='cat/the left eye.png'), "'expression' is ' '"),
        (dict(image='cat.jpg', expression=[], mask='cat/the left eye.png'), r"'expression' is \[\], expected"),
        (dict(expression='an eye', mask='cat/the left eye.png'), "has no 'image'"),
        (dict(image='cat.jpg', expression='an eye'), "has no 'segmentation'"),
        (dict(image='cat.jpg', expression='an eye', mask=3), "'mask' is 3"),
        (dict(image='cat.jpg', expression='an eye', mask='gone.png'), r'masks/gone\.png cannot be read'),
        (dict(image='cat.jpg', expression='an eye', segmentation=[[1, 2, 3]]), r'record number 1: .* odd number'),
        (dict(image='gone.jpg', expression='an eye', segmentation=SQUARE), r'pictures/gone\.jpg cannot be read'),
        (dict(image='cat.jpg', expression='an eye', segmentation=dict(size=None, counts=[1])), "'size' is None"),
        (dict(image='cat.jpg', expression='an eye', segmentation=SQUARE, height=0), "'height' is 0"),
    ],
)
def test_a_record_that_is_wrong_is_named(root: Path, record: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(DATASETS.build(listed(root, record)))


def test_files_that_do_not_pair_up(root: Path) -> None:
    write_image(root / 'pictures/cat.png', 3)
    with pytest.raises(DataError, match=r'cat\.png and cat\.jpg have the same masks'):
        DATASETS.build(config(root))
    (root / 'pictures/cat.png').rename(root / 'pictures/new.png')
    with pytest.raises(DataError, match=r'new\.png has no mask: .*masks/new/EXPRESSION\.png does not exist'):
        DATASETS.build(config(root))
    assert len(DATASETS.build(config(root, on_bad_data='skip'))) == 2
    (problem,) = check_data_set(config(root, data_prefix=dict(img_path='pictures', mask_path='masks/cat'))).problems
    assert 'no picture with a mask' in problem and 'The first problem: ' in problem and 'has no mask' in problem
    with pytest.raises(DataError, match='needs an ann_file or data_prefix'):
        DATASETS.build(config(root, data_prefix=dict(img_path='pictures')))
