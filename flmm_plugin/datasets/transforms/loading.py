"""Image loading."""

from __future__ import annotations

from typing import Any

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.fileio import get

from flmm_plugin.errors import DataError
from flmm_plugin.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadImageRGB(BaseTransform):
    """Load an image as RGB, uint8, (H, W, 3), at its original size.

    mmcv's ``LoadImageFromFile`` gives BGR by OpenCV, which decodes JPEGs a little differently from pillow and turns the
    missing part of a truncated file grey without a word. The LMMs' processors were made for pillow's pixels, and a
    damaged file must be an error. EXIF rotation is ignored, as COCO's annotations are for the pixels as stored.
    """

    def __init__(self, backend_args: dict[str, Any] | None = None) -> None:
        self.backend_args = backend_args

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        path = results['img_path']
        image = read_rgb(path, self.backend_args)
        shape = image.shape[:2]
        annotated = (results.get('height', shape[0]), results.get('width', shape[1]))
        if shape != annotated:
            raise DataError(
                f'{path} is {shape[0]} x {shape[1]} pixels, but image {results.get("img_id")} is annotated as '
                f'{annotated[0]} x {annotated[1]} (height x width).'
            )
        results.update(img=image, img_shape=shape, ori_shape=shape)
        return results


def read_rgb(path: str, backend_args: dict[str, Any] | None = None) -> np.ndarray:
    """Decode an image file to RGB, (H, W, 3) uint8."""
    try:
        content = get(path, backend_args=backend_args)
    except OSError as error:
        raise DataError(f'The image {path} cannot be read: {error}.') from error
    try:
        return mmcv.imfrombytes(content, flag='color_ignore_orientation', channel_order='rgb', backend='pillow')
    except Exception as error:  # pillow raises OSError, SyntaxError and others for damaged files
        raise DataError(f'The image {path} cannot be decoded: {error}. Download it again.') from error
