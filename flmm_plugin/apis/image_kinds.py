"""Pictures that come as text, bytes or numbers instead of as files: what transformers' pipelines take."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from flmm_plugin.images import ImageError, to_8_bits

CHANNELS = (1, 3, 4)
BASE64 = re.compile(r'[A-Za-z0-9+/_\s-]+={0,2}\s*')
URL_LETTERS = str.maketrans('-_', '+/')  # of base64 that goes into URLs
SHORTEST_BASE64 = 64  # letters; no picture has fewer, and hardly a path that many without a dot


def is_url(text: str) -> bool:
    return re.match(r'[a-z][a-z0-9+.-]+://', text, re.IGNORECASE) is not None


def decode_text(text: str) -> bytes | None:
    """The file that a data URI, or base64 alone, stands for; None where the text is neither.

    Raises:
        ImageError: the text is cut off or holds other letters.
    """
    text = text.strip()
    if text[:5].lower() == 'data:':
        head, comma, body = text.partition(',')
        if not comma:
            raise ImageError(f'the data URI {head[:40]!r} has no comma, after which its picture would begin')
        if not head.lower().rstrip().endswith(';base64'):
            return unquote_to_bytes(body)
        text = unquote_to_bytes(body).decode('ascii', 'replace')
    elif len(text) < SHORTEST_BASE64 or not BASE64.fullmatch(text):
        return None
    try:
        return base64.b64decode(''.join(text.split()).translate(URL_LETTERS), validate=True)
    except binascii.Error as error:
        raise ImageError(f'a picture that is given as base64 text is damaged: {error}') from None


def to_picture(values: Any) -> Image.Image:
    """Numbers as a picture of Pillow's.

    Args:
        values: an array or tensor (H, W), (H, W, C) or (C, H, W) of 1, 3 or 4 channels: grey, RGB, RGB and opacity.
            Where both could be meant, channels come last in an array and first in a torch tensor. bool, integers of
            8 bits, or of 16 as in grey PNGs, or fractions in [0, 1].

    Raises:
        ImageError: another shape, or numbers that are no levels, such as those of a normalised picture.
    """
    tensor = isinstance(values, torch.Tensor)
    array = _to_array(values) if tensor else np.asarray(values)
    if array.dtype.kind not in 'buif':
        raise ImageError(f'an image array has numbers, this one {array.dtype}')
    array = channels_last(array, first=tensor)
    levels = to_levels(array)
    return Image.fromarray(levels[..., 0] if levels.shape[2] == 1 else levels)


def _to_array(tensor: torch.Tensor) -> np.ndarray:
    dtype = torch.float32 if tensor.is_floating_point() and tensor.dtype != torch.float64 else tensor.dtype
    try:
        return tensor.detach().cpu().to(dtype).numpy()
    except (NotImplementedError, RuntimeError, TypeError) as error:  # on device 'meta', sparse, quantised
        raise ImageError(f'an image tensor is a dense one with numbers: {error}') from error


def channels_last(array: np.ndarray, first: bool) -> np.ndarray:
    """(H, W, C) of an array whose channels are last, first or not there; ``first``: where both could be meant."""
    shape = 'x'.join(map(str, array.shape)) or 'a number'
    if array.ndim == 2:
        return array[..., None]
    if array.ndim != 3:
        hint = ': give a batch as a list of images' if array.ndim == 4 else ''
        raise ImageError(f'an image has (H, W), (H, W, C) or (C, H, W), this one {shape}{hint}')
    places = [place for place in ((0, -1) if first else (-1, 0)) if array.shape[place] in CHANNELS]
    if not places:
        raise ImageError(f'an image has 1, 3 or 4 channels, first or last, this one has the shape {shape}')
    return np.moveaxis(array, 0, -1) if places[0] == 0 else array


def to_levels(array: np.ndarray) -> NDArray[np.uint8]:
    """Numbers of any kind as levels of 8 bits."""
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array.astype(np.uint8) * np.uint8(255)
    low, high = (array.min(), array.max()) if array.size else (0, 0)
    most = 65535 if array.dtype.kind in 'ui' else 255
    if not (low >= 0 and high <= most):
        raise ImageError(
            f'levels of an image are 0 to 255, 0 to 65535 (integers) or fractions from 0 to 1, these lie between '
            f'{low:g} and {high:g}: give the picture as it was before it was normalised'
        )
    if array.dtype.kind == 'f' and high <= 1:
        return np.rint(array.astype(np.float64) * 255).astype(np.uint8)
    return to_8_bits(array)
