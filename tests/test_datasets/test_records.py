"""Records that contradict each other or lack something: an error with file, record and field, for every data set."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from flmm_plugin.datasets.check import check_data_set
from flmm_plugin.errors import DataError
from tests.data_files import SQUARE
from tests.test_datasets import test_check, test_grefcoco, test_png, test_reasonseg, test_refcoco

INSTANCES, REFS = 'refcoco/instances.json', 'refcoco/refs(unc).p'


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    """Change what a JSON file or a pickle holds, in place."""
    is_pickle = path.suffix == '.p'
    content = pickle.loads(path.read_bytes()) if is_pickle else json.loads(path.read_text())
    change(content)
    path.write_bytes(pickle.dumps(content, protocol=2) if is_pickle else json.dumps(content).encode())


def without(field: str) -> Callable[[dict], Any]:
    return lambda record: record.pop(field)


def having(**fields: Any) -> Callable[[dict], Any]:
    return lambda record: record.update(fields)


# (file, the record that is changed, the change, what the error says)
DAMAGE: dict[str, tuple[str, Callable[[Any], Any], Callable[[Any], Any], str]] = {
    'two annotations of one id': (
        INSTANCES,
        lambda content: content['annotations'],
        lambda annotations: annotations.append({**annotations[0], 'segmentation': [[0, 0, 9, 0, 9, 9]]}),
        r'instances\.json has two different records of annotation 11',
    ),
    'two images of one id': (
        INSTANCES,
        lambda content: content['images'],
        lambda images: images.append({**images[0], 'file_name': 'other.png'}),
        r'instances\.json has two different records of image 1',
    ),
    'annotation of another image': (
        INSTANCES,
        lambda content: content['annotations'][0],
        having(image_id=2),
        r'reference 111 is of image 1, but .*instances\.json: annotation 11 of image 2',
    ),
    'no segmentation': (
        INSTANCES,
        lambda content: content['annotations'][0],
        without('segmentation'),
        r"instances\.json: annotation 11 has no 'segmentation'",
    ),
    'no file name': (
        INSTANCES,
        lambda content: content['images'][0],
        without('file_name'),
        r"instances\.json: image 1 has no 'file_name'",
    ),
    'a file name that is a number': (
        INSTANCES,
        lambda content: content['images'][0],
        having(file_name=7),
        r"image 1: 'file_name' is 7, expected text",
    ),
    'a height of null': (
        INSTANCES,
        lambda content: content['images'][0],
        having(height=None),
        r"image 1: 'height' is None, expected a whole number",
    ),
    'a width of nothing': (INSTANCES, lambda content: content['images'][0], having(width=0), r"'width' is 0, expected"),
    'a list for an image': (
        INSTANCES,
        lambda content: content['images'],
        lambda images: images.__setitem__(0, [1, 2]),
        r'instances\.json: image number 1 is \[1, 2\], where an object',
    ),
    'an annotation without an id': (
        INSTANCES,
        lambda content: content['annotations'][0],
        without('id'),
        r"instances\.json: annotation number 1 has no 'id'",
    ),
    'an id that is a list': (
        INSTANCES,
        lambda content: content['annotations'][0],
        having(id=[11]),
        r"annotation number 1: 'id' is \[11\], expected",
    ),
    'no images': (INSTANCES, lambda content: content, without('images'), r"instances\.json has no 'images'"),
    'images that are an object': (
        INSTANCES,
        lambda content: content,
        having(images={}),
        r"'images' is {}, expected a list",
    ),
    'a sentence without raw': (
        REFS,
        lambda refs: refs[0]['sentences'][0],
        without('raw'),
        r"refs\(unc\)\.p: reference 111: sentence number 1 has no 'raw'",
    ),
    'a blank expression': (
        REFS,
        lambda refs: refs[0]['sentences'][0],
        having(raw=' \t'),
        r"reference 111: sentence number 1: 'raw' is ' \\t', expected text that is not blank",
    ),
    'an expression that nobody sees': (
        REFS,
        lambda refs: refs[0]['sentences'][0],
        having(raw='\u200b\ufeff\x00'),
        r"reference 111: sentence number 1: 'raw' is .* expected text that is not blank",
    ),
    'a reference of another category': (
        REFS,
        lambda refs: refs[0],
        having(category_id=9),
        r'reference 111 is of category 9, but .*instances\.json: annotation 11 of 1',
    ),
    'half a character': (
        REFS,
        lambda refs: refs[0]['sentences'][0],
        having(raw='caf\ud83d'),
        "'raw' is .* expected text of whole characters",
    ),
    'a reference without split': (REFS, lambda refs: refs[0], without('split'), r"reference 111 has no 'split'"),
    'a reference without image': (REFS, lambda refs: refs[0], without('image_id'), r"reference 111 has no 'image_id'"),
    'sentences that are text': (
        REFS,
        lambda refs: refs[0],
        having(sentences='a dog'),
        "'sentences' is 'a dog', expected a list",
    ),
    'no sentence': (REFS, lambda refs: refs[0], having(sentences=[]), 'reference 111 has no sentence'),
    'an annotation that is true': (REFS, lambda refs: refs[0], having(ann_id=True), "'ann_id' is True, expected"),
    'a reference that is null': (
        REFS,
        lambda refs: refs,
        lambda refs: refs.__setitem__(0, None),
        r'reference number 1 is None, where an object',
    ),
}


def damage(root: Path, name: str) -> str:
    file, find, change, message = DAMAGE[name]
    edit(root / file, lambda content: change(find(content)))
    return message


@pytest.mark.parametrize('name', DAMAGE)
def test_the_error_names_file_record_and_field(refcoco_root: Path, name: str) -> None:
    message = damage(refcoco_root, name)
    with pytest.raises(DataError, match=message):
        list(test_refcoco.build(refcoco_root))
    assert any(message for message in check_data_set(test_check.refcoco(refcoco_root)).problems)


@pytest.mark.parametrize('name', [name for name in DAMAGE if not name.startswith(('no images', 'images that'))])
def test_the_record_is_left_out_and_counted(refcoco_root: Path, name: str) -> None:
    damage(refcoco_root, name)
    dataset = test_refcoco.build(refcoco_root, on_bad_data='skip')
    samples = [item['data_samples'] for item in dataset]
    assert dataset.left_out and 2 in [sample.img_id for sample in samples]
    assert 'the thing 11 0' not in [text for sample in samples for text in sample.gt_instances.phrases]


def test_a_record_that_is_there_twice_is_one(refcoco_root: Path) -> None:
    edit(refcoco_root / INSTANCES, lambda content: content['annotations'].append(dict(content['annotations'][0])))
    assert len(test_refcoco.build(refcoco_root)) == 2


def test_a_reference_or_a_split_that_is_there_twice_does_not_count_twice(refcoco_root: Path) -> None:
    with pytest.raises(DataError, match='sample train/1 is there twice'):
        test_refcoco.build(refcoco_root, split=['train', 'train'])
    edit(refcoco_root / REFS, lambda refs: refs.append(refs[0]))
    with pytest.raises(DataError, match='reference 111 is there twice'):
        test_refcoco.build(refcoco_root)
    samples = [item['data_samples'] for item in test_refcoco.build(refcoco_root, on_bad_data='skip')]
    assert [len(sample.gt_instances.phrases) for sample in samples] == [2, 1]


@pytest.mark.parametrize('name', ['a\0.png', 'nowhere://a/b.png'])
def test_names_that_no_file_can_have(refcoco_root: Path, name: str) -> None:
    edit(refcoco_root / INSTANCES, lambda content: content['images'][0].update(file_name=name))
    with pytest.raises(DataError, match=r'png cannot be read: .*sample train/1'):
        test_refcoco.build(refcoco_root)[0]


def test_a_field_with_two_values_is_an_error(refcoco_root: Path) -> None:
    path = refcoco_root / INSTANCES
    text = path.read_text()
    path.write_text(text.replace('"iscrowd": 0', '"iscrowd": 0, "iscrowd": 0'))
    assert len(test_refcoco.build(refcoco_root)) == 2
    path.write_text(text.replace('"iscrowd": 0', '"iscrowd": 0, "segmentation": [[0, 0, 9, 0, 9, 9]]'))
    with pytest.raises(DataError, match=r"instances\.json is not JSON \(an object has two different 'segmentation'"):
        test_refcoco.build(refcoco_root)


def test_ids_may_be_text(refcoco_root: Path) -> None:
    edit(refcoco_root / REFS, lambda refs: [ref.update(ann_id=str(ref['ann_id'])) for ref in refs])
    assert len(list(test_refcoco.build(refcoco_root))) == 2


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16', 'utf-32'])
def test_a_byte_order_mark_is_no_damage(refcoco_root: Path, reasonseg_root: Path, encoding: str) -> None:
    for path in (refcoco_root / INSTANCES, reasonseg_root / 'ReasonSeg/val/beach_1.json'):
        path.write_bytes(path.read_text().encode(encoding))
    assert len(test_refcoco.build(refcoco_root)) == len(test_reasonseg.build(reasonseg_root)) == 2


def test_json_without_end_and_without_bottom(refcoco_root: Path) -> None:
    for content in (b'\xff\xfe\xfd', b'[' * 100_000, b'', b'{"images": NaN'):
        (refcoco_root / INSTANCES).write_bytes(content)
        with pytest.raises(DataError, match=r'instances\.json is not JSON'):
            test_refcoco.build(refcoco_root)


def test_flat_polygons_are_counted(refcoco_root: Path, capsys: pytest.CaptureFixture) -> None:
    edit(
        refcoco_root / INSTANCES,
        lambda content: content['annotations'][0].update(segmentation=[[5, 5, 25, 25], [], *SQUARE]),
    )
    dataset = test_refcoco.build(refcoco_root)
    assert dataset[0]['data_samples'].gt_instances.masks[0].sum() == 400
    check = check_data_set(test_check.refcoco(refcoco_root))
    assert check.problems == [] and check.notes == dataset.notes
    assert check.notes[0].startswith('2 polygons of fewer than three corners are left out, in 1 annotations')


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda refs: refs[0].update(ann_id=[]), r"'ann_id' is \[\], expected ids"),
        (lambda refs: refs[0].update(ann_id=[11, None]), "'ann_id' is .*expected whole numbers or names"),
        (lambda refs: refs[0].update(ann_id=[11, 21]), 'is of image 1, but .*annotation 21 of image 2'),
        (lambda refs: refs[0].pop('ann_id'), "has no 'ann_id'"),
        (lambda refs: refs[0].update(no_target=True), r"'no_target' is True, expected the same as 'ann_id' says"),
        (lambda refs: refs.append(dict(refs[0])), 'is there twice'),
    ],
)
def test_generalised_references(grefcoco_root: Path, change: Callable, message: str) -> None:
    edit(grefcoco_root / 'grefcoco' / 'grefs(unc).json', change)
    with pytest.raises(DataError, match=r'grefs\(unc\)\.json: reference 0.*' + message):
        test_grefcoco.build(grefcoco_root)


def narrative(change: Callable[[dict], Any]) -> tuple[str, Callable]:
    return 'png_coco_val2017.json', lambda narratives: change(narratives[0])


def panoptic(change: Callable[[dict], Any]) -> tuple[str, Callable]:
    return 'panoptic_val2017.json', change


@pytest.mark.parametrize(
    'where, message',
    [
        (narrative(without('image_id')), r"png_coco_val2017\.json: narrative number 1 has no 'image_id'"),
        (narrative(having(image_id='x')), "narrative number 1: 'image_id' is 'x', expected a whole number"),
        (narrative(having(segments=None)), "'segments' is None, expected a list"),
        (narrative(lambda one: one['segments'][1].pop('utterance')), "segment number 2 has no 'utterance'"),
        (narrative(lambda one: one['segments'][1].update(utterance=' ')), "'utterance' is ' ', expected text that is"),
        (narrative(lambda one: one['segments'][1].update(plural='false')), "'plural' is 'false', expected true or"),
        (narrative(lambda one: one['segments'][1].update(segment_ids=['dog'])), "'segment_ids' is .*whole numbers"),
        (panoptic(lambda one: one['categories'][0].pop('isthing')), "category 1 has no 'isthing'"),
        (panoptic(lambda one: one['categories'].pop(0)), r'panoptic_val2017\.json has no category 1'),
        (panoptic(lambda one: one['annotations'][0].pop('segments_info')), "has no 'segments_info'"),
        (panoptic(lambda one: one['annotations'].append({**one['annotations'][1], 'image_id': 1})), 'two different'),
        (panoptic(lambda one: one['images'][0].update(height='tall')), "'height' is 'tall', expected"),
    ],
)
def test_narratives(png_root: Path, where: tuple[str, Callable], message: str) -> None:
    edit(png_root / 'annotations' / where[0], where[1])
    with pytest.raises(DataError, match=message):
        list(test_png.build(png_root))
    dataset = (
        test_png.build(png_root, on_bad_data='skip')
        if 'category' not in message and "'isthing'" not in message
        else None
    )
    assert dataset is None or [item['data_samples'].img_id for item in dataset] == [2]


def test_pictures_of_every_ending_are_found(reasonseg_root: Path) -> None:
    folder = reasonseg_root / 'ReasonSeg' / 'val'
    for name in ('A.JPG', 'c.webp', 'e.bmp', 'f.Tiff', 'g.jpeg'):
        Image.new('RGB', (60, 40)).save(folder / name)
        (folder / name).with_suffix('.JSON' if name == 'e.bmp' else '.json').write_text(
            (folder / 'street_2.json').read_text()
        )
    (folder / 'notes.txt').write_text('not a picture')
    (folder / '._A.JPG').write_text('what macOS keeps of A.JPG')
    (folder / 'street_2.jpg').rename(folder / 'a\u0301.jpg')  # an accent of its own, as macOS writes names
    (folder / 'street_2.json').rename(folder / '\u00e1.json')
    dataset = test_reasonseg.build(reasonseg_root)
    assert [item['data_samples'].img_id for item in dataset] == ['A', 'beach_1', 'c', 'e', 'f', 'g', '\u00e1']


def test_files_that_do_not_pair_up(reasonseg_root: Path) -> None:
    folder = reasonseg_root / 'ReasonSeg' / 'val'
    (folder / 'beach_1.png').write_bytes((folder / 'beach_1.jpg').read_bytes())
    with pytest.raises(DataError, match=r'which belong together of beach_1\.jpg, beach_1\.json, beach_1\.png'):
        test_reasonseg.build(reasonseg_root)
    assert len(test_reasonseg.build(reasonseg_root, on_bad_data='skip')) == 1
    (folder / 'beach_1.png').unlink()
    (folder / 'beach_1.jpg').unlink()
    with pytest.raises(DataError, match=r'beach_1\.json has no picture of its name'):
        test_reasonseg.build(reasonseg_root)


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(text=['']), "number 1: 'text' is '', expected text that is not blank"),
        (dict(text=[3]), "'text' is 3, expected text"),
        (dict(text=None), "'text' is None, expected a list"),
        (dict(is_sentence='no'), "'is_sentence' is 'no', expected true or false"),
        (dict(shapes={}), "'shapes' is {}, expected a list"),
        (dict(imageHeight=41), 'annotated as 41 x 60'),
    ],
)
def test_fields_of_reasonseg(reasonseg_root: Path, changes: dict, message: str) -> None:
    test_reasonseg.edit(reasonseg_root, **changes)
    with pytest.raises(DataError, match=message):
        list(test_reasonseg.build(reasonseg_root))
