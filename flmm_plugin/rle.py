"""Masks in COCO's run-length encodings, checked number by number before a pixel is set.

pycocotools believes what it is given: runs that end early leave pixels that nobody set, runs that are too long are
written beyond the mask's memory. So runs are decoded here, and make up exactly their mask or are refused.

Shape shorthand: R runs, column by column, of background and mask in turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from flmm_plugin.errors import DataError

#: More than any picture that Pillow decodes.
MAX_PIXELS = 1 << 28
#: Five bits each, for runs and differences of runs up to :data:`MAX_PIXELS`.
MAX_CHARACTERS = 6


def encode_mask(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """``size`` [H, W] and compressed ``counts``, as text that JSON can hold, of a bool mask (H, W)."""
    encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return dict(size=list(encoded['size']), counts=encoded['counts'].decode('ascii'))


def decode_mask(encoded: Mapping[str, Any]) -> NDArray[np.bool_]:
    """The bool mask (H, W) of an RLE: ``size`` [H, W] and ``counts``, a list of runs or compressed text.

    Raises:
        DataError: the runs are no whole numbers, are damaged, or are not as many pixels as the mask has.
    """
    height, width = rle_size(encoded)
    runs = rle_runs(encoded)
    if (runs < 0).any():
        raise DataError('a run of the RLE is shorter than nothing')
    if (total := int(runs.sum())) != height * width:
        wrong = 'end early' if total < height * width else 'are too long'
        raise DataError(f'the runs of the RLE {wrong}: {total} pixels for a mask of {height} x {width}')
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T


def rle_size(encoded: Mapping[str, Any]) -> tuple[int, int]:
    """(H, W) that an RLE states."""
    if not isinstance(encoded, Mapping) or not {'size', 'counts'} <= set(encoded):
        raise DataError("an RLE is an object with 'size' and 'counts'")
    size = encoded['size']
    if not isinstance(size, Sequence) or len(size) != 2 or not (whole_numbers(size) and min(size) > 0):
        raise DataError(f"'size' of an RLE is [height, width] in pixels, here it is {size!r:.40}")
    if size[0] * size[1] > MAX_PIXELS:
        raise DataError(f'an RLE of {size!r:.40} pixels is too large')
    return int(size[0]), int(size[1])


def rle_runs(encoded: Mapping[str, Any]) -> NDArray[np.int64]:
    """(R,) the lengths of runs that an RLE's ``counts`` hold."""
    counts = encoded['counts']
    if isinstance(counts, (str, bytes)):
        return uncompress(counts)
    if not isinstance(counts, (Sequence, np.ndarray)) or not whole_numbers(counts):
        raise DataError("'counts' of an RLE is a list of whole numbers or compressed text")
    wrong = [count for count in counts if not 0 <= count <= MAX_PIXELS]
    if wrong:
        raise DataError(f'a run of an RLE is {wrong[0]!s:.40} pixels long')
    return np.array(counts, dtype=np.int64)


def uncompress(text: str | bytes) -> NDArray[np.int64]:
    """(R,) runs out of COCO's compressed text.

    Numbers are pieces of five bits, lowest first, each in a character from '0' on, with 32 for "goes on"; the highest
    bit of the last is the sign. From the fourth number on they are differences to the number before the last.
    """
    try:
        codes = np.frombuffer(text if isinstance(text, bytes) else text.encode('ascii'), np.uint8).astype(np.int64) - 48
    except UnicodeEncodeError:
        codes = np.array([-1])
    if ((codes < 0) | (codes > 63)).any() or (len(codes) and codes[-1] & 32):
        raise DataError('the compressed text of the RLE is damaged')
    last = codes & 32 == 0
    ends = np.flatnonzero(last)
    starts = np.concatenate([[0], ends[:-1] + 1])[: len(ends)].astype(np.int64)
    lengths = ends - starts + 1
    if lengths.max(initial=0) > MAX_CHARACTERS:
        raise DataError('the compressed text of the RLE is damaged: it has a number that is no length of a run')
    place = np.arange(len(codes)) - np.repeat(starts, lengths)
    numbers = np.add.reduceat((codes & 31) << (5 * place), starts) if len(starts) else codes
    numbers = numbers - np.where(codes[ends] & 16, 1 << (5 * lengths), 0)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers


def whole_numbers(values: Any) -> bool:
    """Whether all of ``values`` are finite numbers without a fraction, and none is a truth value."""
    return real_numbers(values) and all(isinstance(value, int) or float(value).is_integer() for value in values)


def real_numbers(values: Any) -> bool:
    """Whether all of ``values`` are numbers, which truth values and text are not; NaN and infinity pass."""
    return all(issubclass(kind, Real) and kind is not bool for kind in {type(value) for value in values})
