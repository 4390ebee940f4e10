"""Decoding the masks of phrases: COCO polygons and RLE, panoptic ids, labelled shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.structures.mask import BitmapMasks

from flmm_plugin.datasets.transforms.mask_files import MaskFile, read_mask
from flmm_plugin.datasets.transforms.polygons import decode_segmentation
from flmm_plugin.datasets.transforms.shapes import draw_shapes
from flmm_plugin.errors import DataError
from flmm_plugin.images import LOSSY, open_file
from flmm_plugin.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadGroundingMasks(BaseTransform):
    """Decode the mask of each phrase; adds ``gt_masks``, an mmdet ``BitmapMasks`` of (P, H, W).

    A phrase with ``segmentations`` (COCO polygons, RLE, mask files) or ``segment_ids`` (ids in the PNG file
    ``seg_map_path``) gets the union of what it names. Phrases sharing an annotation share the work. A mask without a
    pixel is an error, save for a phrase whose ``segmentations`` are none, which means nothing in the image. A phrase
    with ``shapes`` gets what :func:`draw_shapes` draws; its ignored pixels become ``gt_ignored``, an array (P, H, W)
    of uint8.
    """

    def __init__(self, backend_args: dict[str, Any] | None = None) -> None:
        self.backend_args = backend_args

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        height, width = results['ori_shape']
        phrases = results['phrases']
        if 'seg_map_path' in results:
            masks = self._panoptic(results)
        elif not phrases:
            masks = []
        elif 'shapes' in phrases[0]:
            drawn = [draw_shapes(phrase['shapes'], height, width, phrase['source']) for phrase in phrases]
            masks = [target for target, _ in drawn]
            results['gt_ignored'] = np.stack([ignored for _, ignored in drawn])
        else:
            masks = _united(phrases, height, width, self.backend_args)
        results['gt_masks'] = BitmapMasks(np.reshape(masks, (-1, height, width)).astype(np.uint8), height, width)
        return results

    def _panoptic(self, results: dict[str, Any]) -> list[np.ndarray]:
        path = results['seg_map_path']
        ids = read_panoptic_ids(path, self.backend_args)
        if ids.shape != results['ori_shape']:
            raise DataError(f'{path} is {ids.shape}, its image {results["ori_shape"]} (H, W).')
        return [_segments_mask(ids, phrase, path) for phrase in results['phrases']]


def read_panoptic_ids(path: str, backend_args: dict[str, Any] | None = None) -> np.ndarray:
    """Ids of a panoptic PNG, (H, W) int32: R + 256 G + 65536 B."""
    with open_file(path, backend_args) as image:
        if image.mode not in ('RGB', 'RGBA', 'P') or image.format in LOSSY:
            raise DataError(f'{path} ({image.format}, {image.mode}) has no ids: they are colours of a PNG in RGB.')
        rgb = np.array(image.convert('RGB'), dtype=np.int32)  # neither turned nor laid on white, as a picture is
    return rgb[..., 0] + 256 * rgb[..., 1] + 65536 * rgb[..., 2]


def _united(
    phrases: list[dict[str, Any]], height: int, width: int, backend_args: dict[str, Any] | None
) -> list[np.ndarray]:
    decoded: dict[int, np.ndarray] = {}
    for phrase in phrases:
        key = id(phrase['segmentations'])
        if key not in decoded:
            decoded[key] = _united_mask(phrase, height, width, backend_args)
    return [decoded[id(phrase['segmentations'])] for phrase in phrases]


def _united_mask(phrase: dict[str, Any], height: int, width: int, backend_args: dict[str, Any] | None) -> np.ndarray:
    if not phrase['segmentations']:
        return np.zeros((height, width), dtype=np.uint8)
    try:
        masks = [
            read_mask(one, (height, width), backend_args)
            if isinstance(one, MaskFile)
            else decode_segmentation(one, height, width)
            for one in phrase['segmentations']
        ]
    except DataError as error:
        raise DataError(f'{phrase["source"]}: {error}.') from error
    mask = np.bitwise_or.reduce(masks).astype(np.uint8)
    if not mask.any():
        raise DataError(f'{phrase["source"]}: the mask has no pixel inside the image of {height} x {width}.')
    return mask


def _segments_mask(id_map: np.ndarray, phrase: dict[str, Any], path: str) -> np.ndarray:
    mask = np.zeros(id_map.shape, dtype=np.uint8)
    for segment_id in phrase['segment_ids']:
        part = id_map == segment_id
        if not part.any():
            raise DataError(f'{path} has no pixel of segment {segment_id} ({phrase["source"]}).')
        mask |= part
    return mask
