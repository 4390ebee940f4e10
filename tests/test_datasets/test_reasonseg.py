"""ReasonSeg: shapes as LISA draws them, ignored pixels, wordings and errors, on files in the real format."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flmm_plugin.datasets.transforms.shapes import draw_shapes
from flmm_plugin.errors import DataError
from flmm_plugin.registry import DATASETS
from tests.data_files import HEIGHT, PIPELINE, WIDTH


def build(root: Path, **kwargs: Any) -> Any:
    prefix = dict(img_path='ReasonSeg/val')
    config = dict(type='ReasonSegDataset', data_root=str(root), data_prefix=prefix, pipeline=PIPELINE)
    return DATASETS.build({**config, **kwargs})


def rectangle(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    """(H, W) bool, both ends included."""
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[top : bottom + 1, left : right + 1] = True
    return mask


def edit(root: Path, **changes: Any) -> Path:
    path = root / 'ReasonSeg' / 'val' / 'beach_1.json'
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return path


def test_target_and_ignored_pixels(reasonseg_root: Path) -> None:
    """The outline belongs to a shape, corners are cut to whole pixels, and the smaller shape lies on the larger one."""
    sample = build(reasonseg_root)[0]['data_samples']
    truth, hole = sample.gt_instances, rectangle(10, 10, 14, 14)
    assert (sample.img_id, sample.sample_id, sample.protocol) == ('beach_1', 'beach_1/0', 'reasoning/first_sentence')
    assert truth.phrases == ['Where could one sit in the shade?']
    assert [(segment.text, segment.phrase) for segment in sample.segments] == [(truth.phrases[0], 0), ('.', -1)]
    np.testing.assert_array_equal(truth.masks[0].numpy(), rectangle(5, 5, 19, 24) & ~hole)
    np.testing.assert_array_equal(truth.ignored[0].numpy(), hole)


def test_shapes_are_cut_at_the_border(reasonseg_root: Path) -> None:
    truth = build(reasonseg_root)[1]['data_samples'].gt_instances
    np.testing.assert_array_equal(truth.masks[0].numpy(), rectangle(20, 40, 30, WIDTH - 1))
    assert not truth.ignored.any()


def test_larger_shapes_lie_beneath_smaller_ones() -> None:
    def box(label: str, size: int) -> dict:
        return dict(label=label, points=[[0, 0], [size, 0], [size, size], [0, size]])

    target, ignored = draw_shapes([box('target', 4), box('Ignore it', 8), box('target', 12)], 20, 20, 'here')
    assert target.sum() == 13**2 - 9**2 + 5**2 and ignored.sum() == 9**2 - 5**2


def test_a_picture_without_a_polygon_means_nothing(reasonseg_root: Path) -> None:
    """As in the official test split; what is right there, to predict nothing, counts 1."""
    edit(reasonseg_root, shapes=[])
    truth = build(reasonseg_root)[0]['data_samples'].gt_instances
    assert truth.masks.shape == (1, HEIGHT, WIDTH) and not truth.masks.any() and not truth.ignored.any()


@pytest.mark.parametrize('sentences, samples', [('first_sentence', 2), ('all_sentences', 3), ('random_sentence', 2)])
def test_wordings(reasonseg_root: Path, sentences: str, samples: int) -> None:
    dataset = build(reasonseg_root, protocol=f'reasoning/{sentences}')
    assert len(dataset) == samples
    assert len({item['data_samples'].sample_id for item in dataset}) == samples
    random.seed(0)
    drawn = {dataset[0]['data_samples'].gt_instances.phrases[0] for _ in range(20)}
    assert len(drawn) == (2 if sentences == 'random_sentence' else 1)


@pytest.mark.parametrize('queries, ids', [('short', ['street_2']), ('long', ['beach_1'])])
def test_short_and_long_queries(reasonseg_root: Path, queries: str, ids: list[str]) -> None:
    dataset = build(reasonseg_root, queries=queries, name=f'reasonseg_val_{queries}')
    assert [item['data_samples'].img_id for item in dataset] == ids
    assert dataset[0]['data_samples'].dataset_name == f'reasonseg_val_{queries}'


def test_windows_encoding_is_read(reasonseg_root: Path) -> None:
    path = edit(reasonseg_root, text=['the caf\u00e9'])
    path.write_bytes(json.dumps(json.loads(path.read_text()), ensure_ascii=False).encode('cp1252'))
    assert build(reasonseg_root)[0]['data_samples'].gt_instances.phrases == ['the caf\u00e9']


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(shapes=[dict(label='target', points=[[90, 90], [99, 90], [99, 99]])]), 'beach_1: no shape has a target'),
        (dict(shapes=[dict(label='target', points=[])]), 'beach_1: a shape cannot be drawn'),
        (dict(shapes=[dict(points=[[1, 1]])]), 'beach_1: a shape cannot be drawn'),
        (dict(text=[]), 'beach_1.json: "text" has no instruction'),
    ],
)
def test_bad_annotation_names_file_and_id(reasonseg_root: Path, changes: dict, message: str) -> None:
    edit(reasonseg_root, **changes)
    with pytest.raises(DataError, match=message):
        build(reasonseg_root)[0]


def test_missing_annotation_and_folder_are_named(reasonseg_root: Path) -> None:
    (reasonseg_root / 'ReasonSeg' / 'val' / 'beach_1.json').unlink()
    with pytest.raises(DataError, match=r'beach_1\.json is missing: the annotation of beach_1\.jpg'):
        build(reasonseg_root)
    with pytest.raises(DataError, match=r'the folder .*ReasonSeg/test does not exist'):
        build(reasonseg_root, data_prefix=dict(img_path='ReasonSeg/test'))


@pytest.mark.parametrize('wrong', [dict(protocol='first_sentence'), dict(queries='medium')])
def test_arguments_must_be_known(reasonseg_root: Path, wrong: dict) -> None:
    with pytest.raises(ValueError, match='expected'):
        build(reasonseg_root, **wrong)
