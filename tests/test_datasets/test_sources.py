"""Which pictures are found, in every form in which they can be named."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flmm_plugin.annotation.names import read_phrases
from flmm_plugin.apis.images import read_image
from flmm_plugin.datasets.sources import find_pictures
from flmm_plugin.errors import DataError
from flmm_plugin.images import ORIENTATION


def names(pictures: object, **options: str) -> list[str]:
    return [source.name for source in find_pictures(str(pictures), **options)]


def test_folders_in_folders_and_whatever_has_the_name_of_a_picture(pictures: Path, tmp_path: Path) -> None:
    assert names(pictures) == [f'{index:02d}.png' for index in range(10)] + ['more/10.png', 'more/11.png']
    (tmp_path / 'x.JPG').mkdir()
    (tmp_path / 'gone.png').symlink_to(tmp_path / 'nowhere.png')
    (tmp_path / 'note.txt').write_text('no picture')
    assert names(tmp_path) == ['gone.png', 'x.JPG']


def test_nothing_is_found_twice_and_nothing_that_is_hidden(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / 'loop').symlink_to('.')
    (tmp_path / 'itself').symlink_to('itself')
    for name in ('._a.jpg', '.git/b.png', 'c.jp2', 'd.txt.png', 'Thumbs.db'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('')
    assert names(tmp_path) == ['c.jp2', 'd.txt.png']


def test_a_file_is_meant_before_a_glob(tmp_path: Path) -> None:
    for name in ('a1.jpg', 'a[1].jpg', 'LIST.TXT'):
        (tmp_path / name).write_text('a1.jpg')
    assert names(tmp_path / 'a[1].jpg') == [str(tmp_path / 'a[1].jpg')]
    assert names(tmp_path / 'LIST.TXT') == ['a1.jpg']


def test_the_annotated_size_says_how_a_photo_is_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.new('RGB', (6, 4)).save(tmp_path / 'a.png', exif=exif)
    (tmp_path / 'coco.json').write_text(json.dumps(dict(images=[dict(id=1, file_name='a.png', height=4, width=6)])))
    (source,) = find_pictures(str(tmp_path / 'coco.json'))
    assert read_image(source.open()).shape == (3, 6, 4)
    assert read_image(source.open(), stated=source.stated).shape == (3, 4, 6)


def test_globs_lists_and_coco(pictures: Path, tmp_path: Path) -> None:
    assert len(names(pictures / '*.png')) == 10 and len(names(pictures / '**/*.png')) == 12
    (tmp_path / 'list.txt').write_text(f'\ufeff{pictures / "00.png"}\n\n{pictures / "01.png"}\n', encoding='utf-8')
    assert names(tmp_path / 'list.txt') == [str(pictures / '00.png'), str(pictures / '01.png')]
    coco = dict(images=[dict(id=7, file_name='03.png'), dict(id=9, file_name='more/10.png')])
    (tmp_path / 'coco.json').write_text(json.dumps(coco))
    found = find_pictures(str(tmp_path / 'coco.json'), str(pictures))
    assert [(source.path, source.extra) for source in found] == [
        (pictures / '03.png', (('image_id', 7),)),
        (pictures / 'more/10.png', (('image_id', 9),)),
    ]


def test_pictures_in_tars_are_those_that_were_put_in(pictures: Path, tmp_path: Path) -> None:
    for shard in range(2):
        with tarfile.open(tmp_path / f'{shard}.tar', 'w') as archive:
            archive.add(pictures / f'0{shard}.png', f'{shard}.png')
            info = tarfile.TarInfo(f'{shard}.txt')
            info.size = 4
            archive.addfile(info, io.BytesIO(b'text'))
    found = find_pictures(str(tmp_path / '*.tar'))
    assert [source.name for source in found] == ['0.tar/0.png', '1.tar/1.png']
    expected = np.asarray(Image.open(pictures / '01.png'))
    assert np.array_equal(read_image(found[1].open()).permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('empty.txt', '\n', 'names no picture'),
        ('twice.txt', 'a.png\na.png\n', 'names the picture a.png twice'),
        ('again.txt', 'a.png\n./a.png\n', r'one picture twice: \./a\.png and a\.png'),
        ('ids.json', '{"images": [{"id": 1, "file_name": "a"}, {"id": "1", "file_name": "b"}]}', 'id 1, which is that'),
        ('packed.tar.gz', 'text', 'compressed and to be unpacked'),
        ('list.json', '[1]', 'has no list `images`'),
        ('lacking.json', '{"images": [{"id": 1}]}', r"images\[0\] has no 'file_name'"),
        ('broken.tar', 'text', 'is no tar'),
        ('nowhere', None, 'names no picture'),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        find_pictures(str(tmp_path / name))


def test_names_for_all_or_for_each(pictures: Path, tmp_path: Path) -> None:
    sources = find_pictures(str(pictures / '0[01].png'))
    first, second = (source.name for source in sources)
    (tmp_path / 'all.txt').write_text('the sky\n\n a ring \n')
    assert read_phrases(str(tmp_path / 'all.txt'), sources) == {
        first: ('the sky', 'a ring'),
        second: ('the sky', 'a ring'),
    }
    path = tmp_path / 'each.json'
    path.write_text(json.dumps({first: ['a'], second: ['b', 'c']}))
    assert read_phrases(str(path), sources)[second] == ('b', 'c')
    for content in (
        {first: ['a']},
        {first: ['a'], second: []},
        {first: ['a'], second: [' ']},
        {first: 'a', second: ['b']},
    ):
        path.write_text(json.dumps(content))
        with pytest.raises(DataError, match='no list of names'):
            read_phrases(str(path), sources)
