"""Grounded conversation generation: GranD-f's val and test files (GLaMM, arXiv 2311.03356)."""

from __future__ import annotations

from typing import Any

from flmm_plugin.datasets.base import GroundingDataset, load_json, lookup
from flmm_plugin.errors import DataError
from flmm_plugin.registry import DATASETS


@DATASETS.register_module()
class GCGDataset(GroundingDataset):
    """``ann_file``: captions with ``labels`` (``{val,test}_gcg_coco_caption_gt.json``); ``mask_file``: COCO annotations
    of the masks (``{val,test}_gcg_coco_mask_gt.json``). The i-th label of an image belongs to its i-th mask.

    A sample is an image: ``prompt`` asks for a caption, ``captions`` are its true ones, and ``phrases`` the labels of
    the first of them, which alone the benchmark reads. Images are ``ID.jpg`` unless a record has a ``file_name``.

    Raises:
        DataError: an image has another number of masks than labels, or no caption; the message names file and image.
    """

    extra_files = ('mask_file',)
    remedy = 'It needs GranD-f (val_test): the caption and mask files of GCG and the images.'

    def __init__(self, *, ann_file: str, mask_file: str, **kwargs: Any) -> None:
        self.mask_file = mask_file
        super().__init__(ann_file=ann_file, **kwargs)

    def load_data_list(self) -> list[dict]:
        spoken, drawn = load_json(self.ann_file), load_json(self.mask_file)
        sizes = {image['id']: image for image in drawn['images']}
        captions: dict[object, list[dict]] = {}
        masks: dict[object, list[dict]] = {}
        for found, records in ((captions, spoken['annotations']), (masks, drawn['annotations'])):
            for record in records:
                found.setdefault(record['image_id'], []).append(record)
        samples = []
        for image in spoken['images']:
            with self.tolerating():
                own = lookup(captions, image['id'], 'caption of image', self.ann_file)
                size = lookup(sizes, image['id'], 'image', self.mask_file)
                samples.append(self._sample({**size, **image}, own, masks.get(image['id'], [])))
        return samples

    def _sample(self, image: dict, captions: list[dict], masks: list[dict]) -> dict:
        labels = captions[0].get('labels', [])
        if len(labels) != len(masks):
            raise DataError(
                f'{self.ann_file}: annotation {captions[0].get("id")} of image {image["id"]} has {len(labels)} labels, '
                f'but {self.mask_file} has {len(masks)} masks of that image: the files do not belong together.'
            )
        source = f'{self.mask_file}: annotation {{}} of image {image["id"]}'
        record = dict(image, file_name=image.get('file_name') or f'{image["id"]}.jpg')
        return self.sample(
            record,
            f'{self.name or "gcg"}/{image["id"]}',
            'gcg',
            segments=[],
            captions=[caption['caption'] for caption in captions],
            phrases=[
                dict(
                    text=label,
                    is_thing=True,
                    is_plural=False,
                    segmentations=[mask['segmentation']],
                    source=source.format(mask['id']),
                )
                for label, mask in zip(labels, masks, strict=True)
            ],
        )
