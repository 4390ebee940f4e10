"""Run-length encodings: pycocotools' masks where they are sound, an error where they are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from flmm_plugin.errors import DataError
from flmm_plugin.rle import decode_mask, encode_mask, uncompress


def runs_of(mask: np.ndarray) -> list[int]:
    """COCO's uncompressed counts."""
    flat = np.concatenate([[0], mask.flatten(order='F').astype(int), [2]])
    ends = np.flatnonzero(np.diff(flat[1:])) + 1
    return np.diff([0, *([0] if flat[1] else []), *ends]).tolist()


def masks(number: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    sizes = random.integers(1, 90, (number, 2))
    return [random.random(size) < random.random() ** 3 for size in sizes]


def test_masks_survive_in_every_encoding() -> None:
    for mask in [*masks(100), np.ones((30, 50), bool), np.zeros((30, 50), bool), np.ones((3000, 2000), bool)]:
        compressed = encode_mask(mask)
        np.testing.assert_array_equal(decode_mask(compressed), mask)
        np.testing.assert_array_equal(decode_mask({**compressed, 'counts': compressed['counts'].encode()}), mask)
        np.testing.assert_array_equal(decode_mask({**compressed, 'counts': runs_of(mask)}), mask)


def test_compressed_text_is_read_as_pycocotools_reads_it() -> None:
    for mask in masks(100):
        runs = runs_of(mask)
        text = coco_mask.frPyObjects({'size': list(mask.shape), 'counts': runs}, *mask.shape)['counts']
        assert uncompress(text).tolist() == runs


@pytest.mark.parametrize(
    'counts, message',
    [
        ([10, 20], 'end early: 30 pixels for a mask of 100 x 100'),
        ([], 'end early: 0 pixels'),
        ([10, 20, 99_970], 'too long: 100000 pixels'),
        ([10, -20, 10_010], 'a run of an RLE is -20 pixels'),
        ([10, 20, 10**400], 'a run of an RLE is 1000'),
        ([10, 20.5, 9969.5], 'list of whole numbers or compressed text'),
        ([10, float('nan')], 'list of whole numbers'),
        ([10, True], 'list of whole numbers'),
        (['10', '20'], 'list of whole numbers'),
        ([[10, 20]], 'list of whole numbers'),
        (None, 'list of whole numbers'),
        ({'10': 20}, 'list of whole numbers'),
        ('not an RLE', 'text of the RLE is damaged'),
        ('caf\u00e9', 'text of the RLE is damaged'),
        ('ooooooooooooooo1', 'no length of a run'),
        ('', 'end early'),
    ],
)
def test_damaged_counts_say_what_is_wrong(counts: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        decode_mask({'size': [100, 100], 'counts': counts})


def test_text_that_is_cut_or_changed_is_never_another_mask_of_the_wrong_area() -> None:
    whole = encode_mask(np.eye(100, dtype=bool))
    for end in range(len(whole['counts'])):
        with pytest.raises(DataError):
            decode_mask({**whole, 'counts': whole['counts'][:end]})


@pytest.mark.parametrize(
    'size', [None, [100], [0, 100], [-1, -1], ['a', 'b'], [1e9, 1e9], [10**400, 1], 'ab', [9.5, 9]]
)
def test_the_size_is_checked(size: Any) -> None:
    with pytest.raises(DataError, match=r'RLE (is|of) '):
        decode_mask({'size': size, 'counts': [1]})


@pytest.mark.parametrize('encoded', [{}, {'size': [1, 1]}, {'counts': [1]}, None, [1]])
def test_an_rle_has_size_and_counts(encoded: Any) -> None:
    with pytest.raises(DataError, match="'size' and 'counts'"):
        decode_mask(encoded)
