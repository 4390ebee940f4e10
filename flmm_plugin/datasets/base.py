"""What the grounding data sets share: paths checked when they are built, and the form of a sample.

A data set knows no LMM. Its samples say, for one image, which text is read and which masks its phrases have:

- ``img_id``, ``img_path``, ``sample_id`` (unique), ``dataset_name``, ``protocol``, ``prompt``; ``height`` and ``width``
  where the annotations state them;
- ``segments``: list of :class:`~flmm_plugin.structures.Segment`, the answer text piece by piece;
- ``phrases``: one dict for each phrase, in phrase-index order: ``text``, ``is_thing``, ``is_plural`` and where its mask
  comes from: ``segmentations`` (COCO polygons, RLE or mask files, united; none at all where the phrase means nothing in
  the image), ``segment_ids`` (ids in the PNG file ``seg_map_path``, united) or ``shapes`` (labelled polygons), with
  ``source`` naming the file and id for error messages.

Masks are decoded by the pipeline (:class:`~flmm_plugin.datasets.transforms.LoadGroundingMasks`), sample by sample.
"""

from __future__ import annotations

import logging
import os.path as osp
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.dataset import BaseDataset
from mmengine.fileio import exists, isdir, join_path
from mmengine.logging import print_log

from flmm_plugin.datasets.records import Record, Table
from flmm_plugin.errors import DataError, UserError, naming

PROMPT = 'Please give me a description of the image.'


class GroundingDataset(BaseDataset):
    """Base of the grounding data sets.

    ``prompt``: the user's question; the expressions or the narrative are the answer.
    ``name``: stands before the protocol in the names of results, to tell data sets apart that share a protocol.
    ``on_bad_data``: what happens to a record or a file that is missing or damaged.

    - 'error': a :class:`DataError` that names file and id.
    - 'skip', for training only: it is left out with a warning that names file and id and counts. A sample whose image
      or masks turn out to be bad while training is not tried again in this run; the next good one in the data set's
      order stands in for it, so that two runs of one seed still see the same samples. Whole annotation files that
      are missing or damaged remain errors. A test has to count every sample and refuses 'skip'.

    Other arguments are mmengine's.
    """

    #: attributes holding paths of annotation files besides ``ann_file``, relative to ``data_root``
    extra_files: tuple[str, ...] = ()
    #: said when a file is missing
    remedy = 'docs/data.md says which files it is made of.'

    def __init__(
        self,
        *,
        prompt: str = PROMPT,
        name: str = '',
        on_bad_data: str = 'error',
        test_mode: bool = False,
        **kwargs: Any,
    ) -> None:
        if on_bad_data not in ('error', 'skip'):
            raise ValueError(f"on_bad_data={on_bad_data!r}: expected 'error' or 'skip'")
        if on_bad_data == 'skip' and test_mode:
            raise UserError(
                f"{type(self).__name__}: on_bad_data='skip' is for training. A test that left samples out would give "
                'the figures of another data set: mend what tools/check_data.py lists.'
            )
        self.prompt = prompt
        self.name = name
        self.on_bad_data = on_bad_data
        self._flat: dict[str, int] = {}
        self.left_out: list[str] = []  # what is wrong with the records that were left out while loading
        super().__init__(test_mode=test_mode, **kwargs)

    def full_init(self) -> None:
        super().full_init()
        if self.left_out:
            warn(f'{type(self).__name__}: {len(self.left_out)} bad records are left out; {len(self)} samples remain.')
        for note in self.notes:
            warn(f'{type(self).__name__}: {note}.')
        if self.on_bad_data == 'skip':
            # Which samples turned out to be bad; in shared memory, so that all workers know and count them together.
            self._bad = torch.zeros(len(self), dtype=torch.bool).share_memory_()

    def filter_data(self) -> list[dict]:
        """What was loaded; nothing at all is an error, which mmengine would find in numpy, and so is a sample twice."""
        found = super().filter_data()
        if not found:
            bad = f', {len(self.left_out)} bad records are left out' if self.left_out else ''
            raise DataError(
                f'{type(self).__name__}: {self.ann_file or self.data_root} has no sample{bad}. {self.remedy}'
            )
        known: set[str] = set()
        unique = []
        for info in found:
            with self.tolerating():
                if info['sample_id'] in known:
                    raise DataError(
                        f'{type(self).__name__}: sample {info["sample_id"]} is there twice: it would count twice.'
                    )
                known.add(info['sample_id'])
                unique.append(info)
        return unique

    @contextmanager
    def tolerating(self) -> Iterator[None]:
        """Around the reading of one record: a :class:`DataError` leaves it out if that is wanted."""
        try:
            yield
        except DataError as error:
            if self.on_bad_data == 'error':
                raise
            self.left_out.append(str(error))
            warn(f'left out: {error}')

    def prepare_data(self, idx: int) -> Any:
        """The sample ``idx`` after the pipeline; errors name the sample besides the file."""
        info = self.get_data_info(idx)
        with naming(f'sample {info["sample_id"]}'):
            return self.pipeline(info)

    def __getitem__(self, idx: int) -> Any:
        if self.on_bad_data == 'error':
            return super().__getitem__(idx)
        if idx >= len(self):  # the end of an iteration, not a place to begin again
            raise IndexError(f'{type(self).__name__} has {len(self)} samples, there is none of index {idx}')
        for index in ((idx + step) % len(self) for step in range(len(self))):
            if self._bad[index]:
                continue
            try:
                return super().__getitem__(index)
            except DataError as error:
                self._bad[index] = True
                warn(f'left out, {self.num_bad} of {len(self)} samples so far: {error}')
        raise DataError(f'{type(self).__name__}: none of the {len(self)} samples can be read; see the warnings above.')

    @property
    def num_bad(self) -> int:
        """How many samples turned out to be bad so far, in all workers of this process."""
        return int(self._bad.sum())

    def _join_prefix(self) -> None:
        super()._join_prefix()
        for attribute in self.extra_files:
            path = getattr(self, attribute)
            if path and self.data_root and not osp.isabs(path):
                setattr(self, attribute, join_path(self.data_root, path))
        for path in (self.ann_file, *(getattr(self, attribute) for attribute in self.extra_files)):
            if path and not exists(path):
                raise DataError(self._missing('file', path))
        for path in self.data_prefix.values():
            if not isdir(path):
                raise DataError(self._missing('folder', path))

    def _missing(self, kind: str, path: str) -> str:
        return (
            f'{type(self).__name__}: the {kind} {path} does not exist (data_root: {self.data_root!r}). {self.remedy} '
            'Another place is named by `--cfg-options data_root=FOLDER`.'
        )

    def get_cat_ids(self, idx: int) -> list[int]:
        """The categories of a sample, for ``ClassBalancedDataset``; those of RefCOCO's references or a panoptic image.

        Raises:
            UserError: this kind of data set has none.
        """
        info = BaseDataset.get_data_info(self, idx)
        if 'cat_ids' not in info:
            raise UserError(f'{type(self).__name__} knows no categories that ClassBalancedDataset could balance.')
        return list(info['cat_ids'])

    def image_path(self, file_name: str) -> str:
        return join_path(self.data_prefix['img_path'], file_name)

    def sample(self, image: Record, sample_id: str, protocol: str, **rest: Any) -> dict:
        """What every sample says of itself, from a record like those of COCO's ``images``; its size may be unknown."""
        return {
            'img_id': image.identity(),
            'img_path': self.image_path(image.words('file_name')),
            **{key: image.whole(key, least=1) for key in ('height', 'width') if key in image},
            'sample_id': sample_id,
            'dataset_name': self.name,
            'protocol': protocol,
            'prompt': self.prompt,
            **rest,
        }

    def table(self, values: Iterable[Any], source: str, what: str, key: str = 'id') -> Table:
        """Records of a file by their id; those without one are bad records."""
        return Table(values, source, what, self.tolerating, key)

    def count_flat(self, number: int, source: str) -> None:
        """Note that ``number`` polygons of an annotation have no inside and will be left out."""
        if number:
            self._flat[source] = number

    @property
    def notes(self) -> list[str]:
        """What is left out of annotations that are used nevertheless."""
        if not self._flat:
            return []
        number, where = sum(self._flat.values()), ', '.join(list(self._flat)[:3])
        return [
            f'{number} polygons of fewer than three corners are left out, in {len(self._flat)} annotations ({where}'
            + (', ...)' if len(self._flat) > 3 else ')')
        ]


def warn(message: str) -> None:
    print_log(message, logger='current', level=logging.WARNING)
