"""Masks in COCO's compressed run-length encoding, as text that JSON can hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask


def encode_mask(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """``size`` [H, W] and ``counts`` of a bool mask (H, W)."""
    encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return dict(size=list(encoded['size']), counts=encoded['counts'].decode('ascii'))


def decode_mask(encoded: Mapping[str, Any]) -> NDArray[np.bool_]:
    """The bool mask (H, W) of what :func:`encode_mask` gave."""
    return coco_mask.decode({'size': list(encoded['size']), 'counts': encoded['counts'].encode('ascii')}).astype(bool)
