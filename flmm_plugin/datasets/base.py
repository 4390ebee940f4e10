"""What the grounding data sets share: paths checked when they are built, and the form of a sample.

A data set knows no LMM. Its samples say, for one image, which text is read and which masks its phrases have:

- ``img_id``, ``img_path``, ``height``, ``width``; ``sample_id`` (unique), ``dataset_name``, ``protocol``, ``prompt``;
- ``segments``: list of :class:`~flmm_plugin.structures.Segment`, the answer text piece by piece;
- ``phrases``: one dict for each phrase, in phrase-index order: ``text``, ``is_thing``, ``is_plural`` and where its mask
  comes from, either ``segmentations`` (COCO polygons or RLE, united) or ``segment_ids`` (ids in the PNG file
  ``seg_map_path``, united), with ``source`` naming the file and id for error messages.

Masks are decoded by the pipeline (:class:`~flmm_plugin.datasets.transforms.LoadGroundingMasks`), sample by sample.
"""

from __future__ import annotations

import json
import os.path as osp
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.fileio import exists, get_text, isdir, join_path

from flmm_plugin.errors import DataError

PROMPT = 'Please give me a description of the image.'


class GroundingDataset(BaseDataset):
    """Base of the grounding data sets.

    ``prompt``: the user's question; the expressions or the narrative are the answer.
    ``name``: stands before the protocol in the names of results, to tell data sets apart that share a protocol.
    Other arguments are mmengine's.
    """

    #: attributes holding paths of annotation files besides ``ann_file``, relative to ``data_root``
    extra_files: tuple[str, ...] = ()
    #: said when a file is missing
    remedy = 'docs/data.md says which files it is made of.'

    def __init__(self, *, prompt: str = PROMPT, name: str = '', **kwargs: Any) -> None:
        self.prompt = prompt
        self.name = name
        super().__init__(**kwargs)

    def _join_prefix(self) -> None:
        super()._join_prefix()
        for attribute in self.extra_files:
            path = getattr(self, attribute)
            if path and self.data_root and not osp.isabs(path):
                setattr(self, attribute, join_path(self.data_root, path))
        for path in (self.ann_file, *(getattr(self, attribute) for attribute in self.extra_files)):
            if not exists(path):
                raise DataError(self._missing('file', path))
        for path in self.data_prefix.values():
            if not isdir(path):
                raise DataError(self._missing('folder', path))

    def _missing(self, kind: str, path: str) -> str:
        return (
            f'{type(self).__name__}: the {kind} {path} does not exist (data_root: {self.data_root!r}). {self.remedy} '
            'Another place is named by `--cfg-options data_root=FOLDER`.'
        )

    def image_path(self, file_name: str) -> str:
        return join_path(self.data_prefix['img_path'], file_name)

    def sample(self, image: dict, sample_id: str, protocol: str, **rest: Any) -> dict:
        """What every sample says of itself, from a COCO ``images`` record."""
        return {
            'img_id': int(image['id']),
            'img_path': self.image_path(image['file_name']),
            'height': int(image['height']),
            'width': int(image['width']),
            'sample_id': sample_id,
            'dataset_name': self.name,
            'protocol': protocol,
            'prompt': self.prompt,
            **rest,
        }


def load_json(path: str) -> Any:
    """Parse a JSON file; a damaged one is an error that names it."""
    try:
        return json.loads(get_text(path))
    except ValueError as error:
        raise DataError(f'{path} is not a JSON file ({error}): download or write it again.') from error


def lookup(table: dict, key: Any, what: str, path: str) -> Any:
    """``table[key]``, or an error that names what is missing and in which file."""
    try:
        return table[key]
    except KeyError:
        raise DataError(f'{path} has no {what} {key}: the annotation files do not belong together.') from None
