"""POPE's files, good and bad."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flmm_plugin.datasets import YesNoDataset
from flmm_plugin.datasets.scenes.existence import WAYS, existence_questions
from flmm_plugin.errors import DataError

SCENES = [
    ('a.jpg', [('red', 'star'), ('blue', 'ring'), ('red', 'star')]),
    ('b.jpg', [('red', 'star')]),
    ('c.jpg', [('green', 'moon'), ('pink', 'heart'), ('black', 'cross'), ('blue', 'ring')]),
]


def write(root: Path, name: str, records: list[dict[str, Any]]) -> str:
    (root / name).write_text(''.join(json.dumps(record) + '\n' for record in records))
    return name


def question(number: int, label: str = 'yes', text: str = 'Is there a dog in the image?') -> dict[str, Any]:
    return dict(question_id=number, image='one.jpg', text=text, label=label)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / 'images').mkdir()
    Image.fromarray(np.full((20, 30, 3), 9, np.uint8)).save(tmp_path / 'images/one.jpg')
    return tmp_path


def build(root: Path, **splits: str) -> YesNoDataset:
    pipeline = [dict(type='LoadImageRGB'), dict(type='PackQuestion')]
    return YesNoDataset(
        splits=splits, data_root=str(root), data_prefix=dict(img_path='images'), pipeline=pipeline, test_mode=True
    )


def test_samples(root: Path) -> None:
    texts = ['Is there a dog in the image?', 'Is there an apple in the imange?', 'What is this?']
    first = write(root, 'random.json', [question(i + 1, 'no' if i else 'Yes ', text) for i, text in enumerate(texts)])
    second = write(root, 'popular.json', [question(i + 1) for i in range(3)])
    dataset = build(root, random=first, popular=second)
    assert len(dataset) == 6
    sample = dataset[0]['data_samples']
    assert dataset[0]['inputs'].shape == (3, 20, 30)
    assert (sample.prompt, sample.label, sample.phrase) == (texts[0], True, 'a dog')
    assert (sample.sample_id, sample.dataset_name, sample.protocol) == ('random/1', 'random', 'yes_no')
    phrases = [dataset[index]['data_samples'].phrase for index in range(3)]
    assert phrases == ['a dog', 'an apple', ''] and dataset[1]['data_samples'].label is False
    assert dataset[3]['data_samples'].dataset_name == 'popular'


@pytest.mark.parametrize(
    'lines, said',
    [
        ([question(1), question(2, 'maybe')], r"random\.json, line 2: the label is 'maybe', neither"),
        ([question(1), question(1)], r'random\.json, line 2: question_id 1 is that of .*line 1 too'),
        (
            [question(1), {**question(2), 'image': 'two.jpg'}],
            r'random\.json, line 2: the image .*two\.jpg does not exist',
        ),
        ([question(1), {**question(2), 'question_id': [2]}], r"random\.json, line 2: 'question_id' is \[2\]"),
        (
            [question(1), {**question(2, 'no'), 'text': question(1)['text']}],
            r"random\.json, line 2: the answer is 'no', but .*line 1 says the contrary",
        ),
        ([], r'random\.json holds no question'),
        ([{'question_id': 1, 'text': 'x'}], r'random\.json, line 1 lacks image, label'),
        ([question(1)], r'random\.json ends with line 1, .*popular\.json with line 2: .*2,910 and 3,000'),
    ],
)
def test_bad_files(root: Path, lines: list[dict[str, Any]], said: str) -> None:
    first, second = write(root, 'random.json', lines), write(root, 'popular.json', [question(1), question(2)])
    with pytest.raises(DataError, match=said):
        build(root, random=first, popular=second)


def test_no_json_and_no_file(root: Path) -> None:
    (root / 'random.json').write_text('{"question_id": 1,')
    with pytest.raises(DataError, match=r'random\.json, line 1 is not JSON'):
        build(root, random='random.json')
    (root / 'random.json').write_bytes(b'\xff\xfe{')
    with pytest.raises(DataError, match=r'random\.json, line \d is not JSON \(its text is not in UTF-8'):
        build(root, random='random.json')
    with pytest.raises(DataError, match=r'popular\.json does not exist'):
        build(root, popular='popular.json')


@pytest.mark.parametrize('way', WAYS)
def test_questions_about_scenes(way: str) -> None:
    made = list(existence_questions(SCENES, way, seed=0))
    assert made == list(existence_questions(SCENES, way, seed=0))
    assert [one['question_id'] for one in made] == list(range(1, 13))
    assert [one['label'] for one in made] == ['yes', 'no'] * 6
    things = dict(SCENES)
    for one in made:
        color, shape = one['text'].removeprefix('Is there a ').removesuffix('?').split()
        assert ((color, shape) in things[one['image']]) == (one['label'] == 'yes')
    absent = [one['text'] for one in made if one['label'] == 'no' and one['image'] == 'a.jpg']
    if way == 'adversarial':
        assert set(absent) == {'Is there a red ring?', 'Is there a blue star?'}
    if way == 'popular':
        assert 'Is there a red star?' in [
            one['text'] for one in made if one['image'] == 'c.jpg' and one['label'] == 'no'
        ]
