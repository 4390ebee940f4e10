"""Grounded conversation generation: GranD-f's val and test files (GLaMM, arXiv 2311.03356)."""

from __future__ import annotations

from typing import Any

from flmm_plugin.datasets.base import GroundingDataset
from flmm_plugin.datasets.records import Id, Record, load_json
from flmm_plugin.datasets.transforms.polygons import count_flat
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
        spoken = Record.of(load_json(self.ann_file), self.ann_file)
        drawn = Record.of(load_json(self.mask_file), self.mask_file)
        sizes = self.table(drawn.items('images'), self.mask_file, 'image')
        captions, masks = self._by_image(spoken), self._by_image(drawn)
        samples = []
        for value in spoken.items('images'):
            with self.tolerating():
                image_id = Record.of(value, f'{self.ann_file}: an image').identity()
                if image_id not in captions:
                    raise DataError(f'{self.ann_file} has no caption of image {image_id}.')
                image = {**sizes.find(image_id).content, **value}
                image['file_name'] = image.get('file_name') or f'{image_id}.jpg'
                record = Record(image, f'{self.ann_file}: image {image_id}')
                samples.append(self._sample(record, captions[image_id], masks.get(image_id, [])))
        return samples

    def _by_image(self, content: Record) -> dict[Id, list[Record]]:
        """The annotations of each image, in the file's order."""
        found: dict[Id, list[Record]] = {}
        for number, value in enumerate(content.items('annotations'), 1):
            with self.tolerating():
                record = Record.of(value, f'{content.where}: annotation number {number}')
                found.setdefault(record.identity('image_id'), []).append(record)
        return found

    def _sample(self, image: Record, captions: list[Record], masks: list[Record]) -> dict:
        labels = captions[0].several_words('labels') if 'labels' in captions[0] else []
        image_id = image.identity()
        if len(labels) != len(masks):
            raise DataError(
                f'{captions[0].where} of image {image_id} has {len(labels)} '
                f'labels, but {self.mask_file} has {len(masks)} masks of that image: the files do not belong together.'
            )
        for mask in masks:
            self.count_flat(count_flat(mask.value('segmentation')), mask.where)
        return self.sample(
            image,
            f'{self.name or "gcg"}/{image_id}',
            'gcg',
            segments=[],
            captions=[caption.words('caption') for caption in captions],
            phrases=[
                dict(
                    text=label,
                    is_thing=True,
                    is_plural=False,
                    segmentations=[mask.value('segmentation')],
                    source=f'{self.mask_file}: annotation {mask.identity()} of image {image_id}',
                )
                for label, mask in zip(labels, masks, strict=True)
            ],
        )
