"""Image loading."""

from __future__ import annotations

from typing import Any

from mmcv.transforms import BaseTransform

from flmm_plugin.images import check_stated, read_rgb
from flmm_plugin.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadImageRGB(BaseTransform):
    """Load an image as RGB, uint8, (H, W, 3), at its original size.

    It is read as conversations read theirs, see :mod:`flmm_plugin.images`: upright, or as stored where only that has
    the annotated size. mmcv's ``LoadImageFromFile`` gives BGR by OpenCV, which decodes JPEGs a little differently from
    pillow and turns the missing part of a truncated file grey without a word. The LMMs' processors were made for
    pillow's pixels, and a damaged file must be an error.
    """

    def __init__(self, backend_args: dict[str, Any] | None = None) -> None:
        self.backend_args = backend_args

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        path, stated = results['img_path'], (results.get('height'), results.get('width'))
        image = read_rgb(path, stated, self.backend_args)
        shape = image.shape[:2]
        name = f'image {results.get("img_id")}'
        check_stated(shape, stated, path, f'{name} ({results["size_from"]})' if 'size_from' in results else name)
        results.update(img=image, img_shape=shape, ori_shape=shape)
        return results
