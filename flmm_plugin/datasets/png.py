"""Panoptic narratives (PNG): image descriptions whose phrases are grounded in COCO's panoptic segments."""

from __future__ import annotations

from typing import Any

from mmengine.fileio import join_path
from mmengine.logging import print_log

from flmm_plugin.datasets.base import GroundingDataset, load_json, lookup
from flmm_plugin.errors import DataError
from flmm_plugin.registry import DATASETS
from flmm_plugin.structures import Segment

PROTOCOL = 'narrative'


@DATASETS.register_module()
class PNGDataset(GroundingDataset):
    """Panoptic Narrative Grounding in its official files. One sample is one narrative.

    ``ann_file``: ``png_coco_{train,val}2017.json``, a list of ``{image_id, segments}``; a segment has ``utterance``,
    ``segment_ids`` (possibly none, possibly several, whose masks are united) and ``plural``.
    ``panoptic_file``: ``panoptic_{train,val}2017.json``.
    ``data_prefix``: ``img_path`` the folder of images, ``seg_path`` the folder of PNG-encoded ids.

    Things and stuff come from the category; plurals count as things. Narratives that ground no phrase are left out
    (and counted in the log); the authors' code draws another narrative at random in their place.
    """

    extra_files = ('panoptic_file',)
    remedy = (
        'It needs png_coco_*.json of PNG, panoptic_*.json and the id PNGs of COCO panoptic 2017 and the images, '
        'or a folder written by tools/make_scenes.py.'
    )

    def __init__(self, *, ann_file: str, panoptic_file: str, data_prefix: dict[str, str], **kwargs: Any) -> None:
        self.panoptic_file = panoptic_file
        super().__init__(ann_file=ann_file, data_prefix=data_prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        panoptic = load_json(self.panoptic_file)
        images = {int(image['id']): image for image in panoptic['images']}
        segmentations = {int(record['image_id']): record for record in panoptic['annotations']}
        is_thing = {category['id']: bool(category['isthing']) for category in panoptic['categories']}
        samples, empty = [], 0
        for index, narrative in enumerate(load_json(self.ann_file)):
            image_id = int(narrative['image_id'])
            with self.tolerating():
                image = lookup(images, image_id, 'image', self.panoptic_file)
                record = lookup(segmentations, image_id, 'annotation of image', self.panoptic_file)
                things = {segment['id']: is_thing[segment['category_id']] for segment in record['segments_info']}
                segments, phrases = self._read(narrative['segments'], things, image_id)
                if not phrases:
                    empty += 1
                    continue
                sample = self.sample(image, f'{self.name or PROTOCOL}/{image_id}/{index}', PROTOCOL)
                sample.update(segments=segments, phrases=phrases)
                sample.update(seg_map_path=join_path(self.data_prefix['seg_path'], record['file_name']))
                samples.append(sample)
        if not samples:
            raise DataError(f'{self.ann_file} has no narrative with a grounded phrase.')
        if empty:
            print_log(f'{self.ann_file}: {empty} narratives ground no phrase and are left out.', logger='current')
        return samples

    def _read(self, records: list[dict], things: dict[int, bool], image_id: int) -> tuple[list[Segment], list[dict]]:
        """The text of a narrative and its phrases. ``things``: id of each panoptic segment -> whether it is a thing."""
        segments: list[Segment] = []
        phrases: list[dict] = []
        for record in records:
            ids = [int(segment_id) for segment_id in record['segment_ids']]
            segments.append(Segment(record['utterance'], len(phrases) if ids else -1))
            if not ids:
                continue
            for segment_id in ids:
                lookup(things, segment_id, f'segment (of image {image_id})', self.panoptic_file)
            phrases.append(
                dict(
                    text=record['utterance'].strip(),
                    is_thing=bool(record['plural']) or all(things[segment_id] for segment_id in ids),
                    is_plural=bool(record['plural']),
                    segment_ids=ids,
                    source=f'{self.ann_file}: phrase {record["utterance"]!r} of image {image_id}, segments {ids}',
                )
            )
        return segments, phrases
