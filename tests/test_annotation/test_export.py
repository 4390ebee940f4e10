"""What annotations become, read by the tools whose formats they are."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from flmm_plugin.annotation.export import EXPORTERS, export
from flmm_plugin.annotation.export.categories import Categories
from flmm_plugin.annotation.export.files import PictureFiles
from flmm_plugin.annotation.lines import check
from flmm_plugin.annotation.run import run
from flmm_plugin.annotation.store import Store
from flmm_plugin.apis import FLMMInferencer
from flmm_plugin.apis.annotated import Picture
from flmm_plugin.datasets.check import check_data_set
from flmm_plugin.datasets.records import Record
from flmm_plugin.datasets.sources import Source, find_pictures
from flmm_plugin.errors import DataError
from flmm_plugin.registry import DATASETS
from flmm_plugin.rle import decode_mask


@pytest.fixture(scope='module')
def sources(pictures: Path) -> list[Source]:
    return find_pictures(str(pictures))[:6]


@pytest.fixture(scope='module')
def store(ask: FLMMInferencer, sources: list[Source], tmp_path_factory: pytest.TempPathFactory) -> Store:
    kept = Store(tmp_path_factory.mktemp('store'), {})
    run(ask, sources, lambda s: Picture(s.name, s.open, ask.caption_prompt), kept, batch_size=3, generation={})
    return kept


@pytest.fixture(scope='module')
def out(store: Store, sources: list[Source], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('exports')
    for kind in EXPORTERS:
        export(kind, store, sources, folder / kind)
    return folder


def grounded(store: Store) -> list[tuple[str, dict]]:
    return [(r['file_name'], p) for r in store.records() for p in r['phrases'] if p['grounded']]


def test_coco(out: Path, store: Store) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        coco, captions = COCO(out / 'coco/instances.json'), COCO(out / 'coco/captions.json')
    assert len(coco.imgs) == len(captions.anns) == 6
    assert len(coco.anns) == len(grounded(store)) > 10
    for annotation, (_, phrase) in zip(coco.anns.values(), grounded(store), strict=True):
        assert np.array_equal(coco.annToMask(annotation), decode_mask(phrase['mask']))
        assert coco.cats[annotation['category_id']]['name'] in phrase['text']


def test_narratives_train_this_project(out: Path, store: Store, pictures: Path) -> None:
    folder = out / 'coco-panoptic'
    config = dict(
        type='PNGDataset',
        ann_file=str(folder / 'png_coco.json'),
        panoptic_file=str(folder / 'panoptic.json'),
        data_prefix=dict(img_path=str(pictures), seg_path=str(folder / 'panoptic')),
        pipeline=[dict(type=name) for name in ('LoadImageRGB', 'LoadGroundingMasks', 'PackGroundingInputs')],
    )
    assert check_data_set(dict(config)).problems == []
    dataset = DATASETS.build(config)
    records = list(store.records())
    assert len(dataset) == 6
    for index, record in enumerate(records):
        info = dataset.get_data_info(index)
        words = ''.join(segment.text for segment in info['segments']).replace(' ', '')
        assert words == record['answer'].replace(' ', '')
        for phrase in info['phrases']:
            assert phrase['text'] in record['answer']
    ious = []
    for index, record in enumerate(records):
        sample = dataset[index]['data_samples']
        masks = np.asarray(sample.gt_instances.masks)
        kept = {p['text']: decode_mask(p['mask']) for p in record['phrases'] if p['grounded']}
        for text, mask in zip(sample.gt_instances.phrases, masks, strict=True):
            ious.append((kept[text] & (mask > 0)).sum() / (kept[text] | (mask > 0)).sum())
    assert len(ious) > 10 and np.mean(ious) > 0.9  # overlaps give way


def test_labelme(out: Path, store: Store) -> None:
    record = next(store.records())
    content = json.loads((out / 'labelme' / Path(record['file_name']).with_suffix('.json')).read_text())
    assert {shape['label'] for shape in content['shapes']} == {p['text'] for p in record['phrases'] if p['grounded']}
    assert (content['imageHeight'], content['imageWidth']) == (192, 192)
    assert all(len(shape['points']) > 2 for shape in content['shapes'])


def test_labelme_finds_the_pictures(out: Path, store: Store, sources: list[Source], tmp_path: Path) -> None:
    """As its LabelFile does: from the JSON's folder, or in the JSON."""
    for source in sources:
        file = out / 'labelme' / Path(source.name).with_suffix('.json')
        assert (file.parent / json.loads(file.read_text())['imagePath']).samefile(source.path)
    with tarfile.open(tmp_path / 'some.tar', 'w') as archive:
        archive.add(sources[0].path, sources[0].name)
    (packed,) = find_pictures(str(tmp_path / 'some.tar'))
    lines = Store(tmp_path / 'lines', {})
    with lines:
        lines.write([{**next(store.records()), 'file_name': packed.name}])
    export('labelme', lines, [packed], tmp_path / 'labelme')
    content = json.loads((tmp_path / 'labelme/some.tar' / sources[0].name).with_suffix('.json').read_text())
    assert base64.b64decode(content['imageData']) == sources[0].path.read_bytes()


def test_coco_keeps_ids_and_has_every_thing(store: Store, sources: list[Source], tmp_path: Path) -> None:
    record = next(store.records())
    whole = next(phrase for phrase in record['phrases'] if phrase['grounded'])
    whole['instances'] = [{name: whole[name] for name in ('mask', 'box', 'score')} for _ in range(3)]
    lines = Store(tmp_path, {})
    with lines:
        lines.write([{**record, 'phrases': [whole]}])
    numbered = [replace(one, extra=(('image_id', 70 - index),)) for index, one in enumerate(sources)]
    export('coco', lines, numbered, tmp_path / 'coco')
    content = json.loads((tmp_path / 'coco/instances.json').read_text())
    assert [one['image_id'] for one in content['annotations']] == [70, 70, 70] and content['images'][0]['id'] == 70
    whole['instances'][1]['box'] = [1]
    with pytest.raises(DataError, match=r'thing number 2.*its four sides'):
        check(Record.of({**record, 'phrases': [whole]}, 'line 1'))


def test_pictures(out: Path) -> None:
    assert len(list((out / 'visualize/pictures').rglob('*.png'))) == 6
    assert Image.open(out / 'visualize/sheet.png').width > 1000


def test_categories_are_head_nouns() -> None:
    categories = Categories()
    numbers = [categories.of(text) for text in ('the large red star', 'a star', 'two stars', 'a lot of people')]
    assert numbers == [1, 1, 2, 3] and [record['name'] for record in categories.records()] == [
        'star',
        'stars',
        'people',
    ]


def test_pictures_that_differ_by_their_ending_have_files_of_their_own(tmp_path: Path) -> None:
    files = PictureFiles(tmp_path / 'out', '.png')
    named = [files.of(name).relative_to(tmp_path / 'out') for name in ('d.jpg', 'd.png', '../d.jpg', '/x/d.jpg')]
    assert [str(name) for name in named] == ['d.png', 'd.png.png', 'd.jpg.png', 'x/d.png']
