"""Polygons: pycocotools' masks where they are sound, an error instead of a crash where they are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from flmm_plugin.datasets.transforms.polygons import decode_segmentation
from flmm_plugin.datasets.transforms.shapes import draw_shapes
from flmm_plugin.errors import DataError
from tests.data_files import SQUARE, TWO_PARTS
from tests.test_datasets import test_refcoco

NAN, INF = float('nan'), float('inf')

BROKEN = [
    ([[NAN, 1, 2, 3, 4, 5]], 'a coordinate is nan'),
    ([[1, 2, 3, -INF, 4, 5]], 'a coordinate is -inf'),
    ([[1e8, 1, 2, 3, 4, 5]], r'an outline reaches 2e\+08 pixels, far beyond its image of 40 x 60'),
    ([[1e300, 1, 2, 3, 4, 5]], 'far beyond'),
    ([[-(10**9)] * 6], 'far beyond'),
    ([[10**400, 1, 2, 3, 4, 5]], 'a coordinate is inf'),
    ([[0, 0, 30000, 0] * 5000], 'far beyond'),
    ([[1, 2, 3, 4, 5]], 'a polygon has 5 coordinates, an odd number'),
    ([*SQUARE, [1, 2, 3, 4, 5, 6, 7]], 'odd number'),
    ([], 'no polygon of 3 corners or more'),
    ([[]], 'no polygon of 3 corners or more'),
    ([[5, 5, 25, 25]], 'no polygon of 3 corners or more'),
    ([['1', '2', '3', '4', '5', '6']], "a coordinate is '1', not a number"),
    ([[1, 2, 3, 4, 5, None]], 'a coordinate is None'),
    ([[True] * 6], 'a coordinate is True'),
    ([[[1, 2], [3, 4], [5, 6], [7, 8], [9, 1], [2, 3]]], 'not a number|pairs of numbers'),
    ([None], 'not None'),
    (None, 'it is None, not polygons or an RLE'),
    ('polygon', "it is 'polygon'"),
    (7, 'it is 7'),
]


@pytest.mark.parametrize('segmentation, message', BROKEN)
def test_what_cannot_be_drawn_is_an_error(segmentation: Any, message: str) -> None:
    with pytest.raises(DataError, match=f'the segmentation cannot be decoded: .*({message})'):
        decode_segmentation(segmentation, 40, 60)


def test_the_error_names_file_and_annotation(refcoco_root: Path) -> None:
    path = refcoco_root / 'refcoco' / 'instances.json'
    instances = json.loads(path.read_text())
    instances['annotations'][0]['segmentation'] = [[NAN, 1, 2, 3, 4, 5]]
    path.write_text(json.dumps(instances))
    with pytest.raises(DataError, match=r'instances\.json: annotation 11 of image 1: .* a coordinate is nan'):
        test_refcoco.build(refcoco_root)[0]


@pytest.mark.parametrize('flat', [[], [5, 5], [5, 5, 25, 25]])
def test_a_part_without_an_inside_is_dropped(flat: list) -> None:
    whole = decode_segmentation(SQUARE, 40, 60)
    assert whole.sum() == 400
    for parts in ([flat, *SQUARE], [*SQUARE, flat]):
        np.testing.assert_array_equal(decode_segmentation(parts, 40, 60), whole)


def test_parts_are_united_and_cut_at_the_border() -> None:
    both = decode_segmentation([*SQUARE, *TWO_PARTS], 40, 60)
    np.testing.assert_array_equal(both, decode_segmentation(SQUARE, 40, 60) | decode_segmentation(TWO_PARTS, 40, 60))
    beyond = decode_segmentation([[-500, -500, 900, -500, 900, 900, -500, 900]], 40, 60)
    assert beyond.shape == (40, 60) and beyond.all()
    np.testing.assert_array_equal(decode_segmentation(SQUARE[0], 40, 60), decode_segmentation(SQUARE, 40, 60))


def test_real_annotations_are_pycocotools_masks(real_coco: Path) -> None:
    coco = COCO(str(real_coco / 'annotations' / 'instances_val2017.json'))
    for annotation in coco.anns.values():
        image = coco.imgs[annotation['image_id']]
        mask = decode_segmentation(annotation['segmentation'], image['height'], image['width'])
        np.testing.assert_array_equal(mask, coco.annToMask(annotation).astype(bool))


def shape(points: Any, **rest: Any) -> dict:
    return dict(label='target', points=points, **rest)


def test_labelme_s_rectangle_and_circle_have_an_inside() -> None:
    target, _ = draw_shapes([shape([[20, 30], [5, 10]], shape_type='rectangle')], 40, 60, 'here')
    expected = np.zeros((40, 60), bool)
    expected[10:31, 5:21] = True
    np.testing.assert_array_equal(target.astype(bool), expected)
    target, _ = draw_shapes([shape([[30, 20], [30, 5]], shape_type='circle')], 40, 60, 'here')
    ys, xs = np.mgrid[:40, :60]
    distance = np.hypot(ys - 20, xs - 30)
    assert target[distance < 14].all() and not target[distance > 17].any()


@pytest.mark.parametrize(
    'bad, message',
    [
        (shape([[1, NAN], [3, 4], [5, 6]]), 'a coordinate is nan'),
        (shape([[1, 1e9], [3, 4], [5, 6]]), 'far beyond'),
        (shape([[1], [3, 4], [5, 6]]), 'pairs of numbers|not a number'),
        (shape([[1, 2, 3], [3, 4, 5], [5, 6, 7]]), 'pairs of numbers'),
        (shape(['12', '34', '56']), 'not a number|pairs of numbers'),
        (shape([[1, 1], [9, 9]], shape_type='line'), "its type is 'line'"),
        (shape([[1, 1]], shape_type='point'), "its type is 'point'"),
        (shape([[1, 1], [9, 9]], shape_type=['polygon']), 'its type is'),
        (shape([[1, 1], [9, 9], [1, 9]], shape_type='rectangle'), 'a rectangle has 2 points, this one 3'),
        (shape([[1, 1], [9, 9]]), 'at least 3 corners'),
        (shape(None), "'points', a list"),
        (dict(points=[[1, 1], [9, 9], [1, 9]]), "needs 'label'"),
        (dict(label=3, points=[[1, 1], [9, 9], [1, 9]]), "needs 'label'"),
        (None, 'not an object'),
    ],
)
def test_a_shape_that_cannot_be_drawn_is_an_error(bad: Any, message: str) -> None:
    with pytest.raises(DataError, match=f'here: a shape cannot be drawn: .*({message})'):
        draw_shapes([bad], 40, 60, 'here')


def test_no_target_means_nothing_and_clicks_too_many_do_not_count() -> None:
    square = [[5, 5], [20, 5], [20, 20], [5, 20]]
    for shapes in ([], [dict(label='flag', points=square)], [dict(label='Ignore', points=square)]):
        assert not draw_shapes(shapes, 40, 60, 'here')[0].any()
    target, _ = draw_shapes([shape(square), shape([[50, 30], [55, 35]])], 40, 60, 'here')
    assert target.sum() == 16 * 16
    with pytest.raises(DataError, match='no shape has a target pixel inside'):
        draw_shapes([shape([[x + 100, y] for x, y in square])], 40, 60, 'here')
