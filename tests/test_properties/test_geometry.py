"""Polygons, shapes and run lengths of every kind: the right mask or an error, and no process dies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip('hypothesis')

from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from flmm_plugin.datasets.transforms.polygons import decode_segmentation
from flmm_plugin.datasets.transforms.shapes import draw_shapes
from flmm_plugin.errors import DataError
from flmm_plugin.rle import decode_mask, encode_mask
from tests.test_properties import STRANGE, bounded, bytes_damage, in_a_child

HEIGHT, WIDTH = 40, 60
NUMBER = st.one_of(st.integers(-100, 160), st.floats(-100, 160), st.floats(), st.integers(-(10**12), 10**12), STRANGE)
SANE = st.lists(st.floats(-30, 90, width=32), min_size=6, max_size=16).filter(lambda part: len(part) % 2 == 0)
RUNS = st.lists(st.one_of(st.integers(0, 900), NUMBER), max_size=12)
SIZE = st.one_of(st.just([HEIGHT, WIDTH]), st.lists(st.integers(-2, 3000), max_size=3), STRANGE)


def mask_or_error(make: Any) -> np.ndarray | None:
    try:
        mask = make()
    except DataError:
        return None
    assert mask.shape == (HEIGHT, WIDTH)
    return mask


@bounded
@given(st.one_of(st.lists(st.one_of(SANE, st.lists(NUMBER, max_size=12), STRANGE), max_size=4), STRANGE))
def polygons(segmentation: Any) -> None:
    first = mask_or_error(lambda: decode_segmentation(segmentation, HEIGHT, WIDTH))
    second = mask_or_error(lambda: decode_segmentation(segmentation, HEIGHT, WIDTH))
    assert (first is None and second is None) or np.array_equal(first, second)


@bounded
@given(st.lists(SANE, min_size=1, max_size=3))
def sound_polygons(segmentation: list) -> None:
    encoded = coco_mask.frPyObjects(segmentation, HEIGHT, WIDTH)
    expected = coco_mask.decode(coco_mask.merge(encoded))
    np.testing.assert_array_equal(decode_segmentation(segmentation, HEIGHT, WIDTH), expected.astype(bool))


@bounded
@given(st.fixed_dictionaries({'size': SIZE, 'counts': st.one_of(RUNS, st.text(max_size=12), STRANGE)}))
def run_lengths(encoded: Any) -> None:
    mask = mask_or_error(lambda: decode_segmentation(encoded, HEIGHT, WIDTH))
    if mask is not None and isinstance(encoded['counts'], list):
        assert mask.sum() == sum(encoded['counts'][1::2])


@bounded
@given(st.data())
def damaged_text(data: Any) -> None:
    whole = encode_mask(np.random.default_rng(0).random((HEIGHT, WIDTH)) < 0.1)
    counts = data.draw(bytes_damage(whole['counts'].encode()))
    mask = mask_or_error(lambda: decode_mask({**whole, 'counts': counts}))
    if mask is not None:  # runs that still make up a mask are that mask
        np.testing.assert_array_equal(coco_mask.decode({**whole, 'counts': encode_mask(mask)['counts']}), mask)


@bounded
@given(st.lists(st.integers(0, 1), min_size=HEIGHT * WIDTH, max_size=HEIGHT * WIDTH))
def masks_survive(values: list) -> None:
    mask = np.array(values, dtype=bool).reshape(HEIGHT, WIDTH)
    np.testing.assert_array_equal(decode_mask(encode_mask(mask)), mask)


POINTS = st.one_of(
    st.lists(st.lists(NUMBER, min_size=2, max_size=2), max_size=6), st.lists(NUMBER, max_size=6), STRANGE
)
SHAPE = st.fixed_dictionaries(
    {'label': st.one_of(st.sampled_from(['target', 'ignore', 'flag']), STRANGE), 'points': POINTS},
    optional={'shape_type': st.one_of(st.sampled_from(['polygon', 'rectangle', 'circle', 'line']), STRANGE)},
)


@bounded
@given(st.lists(st.one_of(SHAPE, STRANGE), max_size=4))
def shapes(drawn: list) -> None:
    try:
        target, ignored = draw_shapes(drawn, HEIGHT, WIDTH, 'here')
    except DataError:
        return
    assert target.shape == ignored.shape == (HEIGHT, WIDTH) and not (target & ignored).any()


@pytest.mark.parametrize('work', [polygons, sound_polygons, run_lengths, damaged_text, masks_survive, shapes])
def test_geometry(work: Any) -> None:
    in_a_child(work)
