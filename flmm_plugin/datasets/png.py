"""Panoptic narratives (PNG): image descriptions whose phrases are grounded in COCO's panoptic segments."""

from __future__ import annotations

from typing import Any

from mmengine.fileio import join_path
from mmengine.logging import print_log

from flmm_plugin.datasets.base import GroundingDataset
from flmm_plugin.datasets.records import Record, Table, load_json, values_of
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
        panoptic = Record.of(load_json(self.panoptic_file), self.panoptic_file)
        images = self.table(panoptic.items('images'), self.panoptic_file, 'image')
        segmentations = self.table(
            panoptic.items('annotations'), self.panoptic_file, 'annotation of image', key='image_id'
        )
        categories = self.table(panoptic.items('categories'), self.panoptic_file, 'category')
        samples, empty = [], 0
        for index, value in enumerate(values_of(load_json(self.ann_file), self.ann_file)):
            with self.tolerating():
                narrative = Record.of(value, f'{self.ann_file}: narrative number {index + 1}')
                image = images.find(narrative.whole('image_id'))
                annotation = segmentations.find(narrative.whole('image_id'))
                segments, phrases = self._read(narrative, self._things(annotation, categories))
                if not phrases:
                    empty += 1
                    continue
                sample = self.sample(image, f'{self.name or PROTOCOL}/{image.whole("id")}/{index}', PROTOCOL)
                sample.update(segments=segments, phrases=phrases)
                parts = annotation.records('segments_info', 'segment')
                sample.update(cat_ids=sorted({part.whole('category_id') for part in parts}))
                sample.update(seg_map_path=join_path(self.data_prefix['seg_path'], annotation.words('file_name')))
                samples.append(sample)
        if not samples:
            raise DataError(f'{self.ann_file} has no narrative with a grounded phrase.')
        if empty:
            print_log(f'{self.ann_file}: {empty} narratives ground no phrase and are left out.', logger='current')
        return samples

    def _things(self, annotation: Record, categories: Table) -> dict[int, bool]:
        """Whether each panoptic segment of an image, by its id, is a thing."""
        things: dict[int, bool] = {}
        for segment in annotation.records('segments_info', 'segment'):
            is_thing = categories.find(segment.identity('category_id')).flag('isthing')
            if things.setdefault(segment.whole('id'), is_thing) != is_thing:
                raise DataError(f'{segment.where} has the id {segment.whole("id")} of another, of another kind.')
        return things

    def _read(self, narrative: Record, things: dict[int, bool]) -> tuple[list[Segment], list[dict]]:
        """The text of a narrative and its phrases. ``things``: see :meth:`_things`."""
        segments: list[Segment] = []
        phrases: list[dict] = []
        image_id = narrative.whole('image_id')
        for segment in narrative.records('segments', 'segment'):
            ids = segment.wholes('segment_ids')
            utterance = segment.text('utterance')
            segments.append(Segment(utterance, len(phrases) if ids else -1))
            if not ids:
                continue
            for segment_id in ids:
                if segment_id not in things:
                    raise DataError(
                        f'{self.panoptic_file} has no segment (of image {image_id}) {segment_id}: '
                        'the annotation files do not belong together.'
                    )
            is_plural = segment.flag('plural')
            phrases.append(
                dict(
                    text=segment.words('utterance'),
                    is_thing=is_plural or all(things[segment_id] for segment_id in ids),
                    is_plural=is_plural,
                    segment_ids=ids,
                    source=f'{self.ann_file}: phrase {utterance!r} of image {image_id}, segments {ids}',
                )
            )
        return segments, phrases
