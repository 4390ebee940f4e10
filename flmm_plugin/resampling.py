"""Pillow's resizing, whose antialiasing LMMs and SAM were trained with, the same under every release of Pillow.

Pillow resizes along one axis and then along the other, rounding in between. All releases up to 12 begin with the
horizontal axis; from 13 on the one that shrinks most comes first, which differs by up to 16 grey levels. Each pass is
therefore a call of its own here.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def resize_bicubic(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize a uint8 (3, H, W) image to (height, width), as LMMs read pictures."""
    return _resize(image, size, Image.Resampling.BICUBIC)


def resize_bilinear(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize a uint8 (3, H, W) image to (height, width), as SAM reads pictures."""
    return _resize(image, size, Image.Resampling.BILINEAR)


def _resize(image: Tensor, size: tuple[int, int], resample: Image.Resampling) -> Tensor:
    height, width = size
    picture = Image.fromarray(image.permute(1, 2, 0).contiguous().cpu().numpy())
    picture = picture.resize((width, picture.height), resample).resize((width, height), resample)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)
