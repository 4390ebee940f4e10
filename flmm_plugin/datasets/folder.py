"""Data of one's own: a folder of pictures, and masks as PNG files, polygons or RLE."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from mmengine.fileio import isdir, join_path, list_dir_or_file

from flmm_plugin.datasets.expressions import ExpressionDataset
from flmm_plugin.datasets.records import Record, load_json, values_of
from flmm_plugin.datasets.transforms.mask_files import MaskFile
from flmm_plugin.datasets.transforms.polygons import count_flat
from flmm_plugin.errors import DataError
from flmm_plugin.images import open_file, picture_suffixes
from flmm_plugin.registry import DATASETS

MASK_SUFFIX = '.png'


@DATASETS.register_module()
class FolderDataset(ExpressionDataset):
    """Pictures and masks in folders, or in one JSON file. A sample is one picture with all its expressions.

    ``data_prefix``: ``img_path`` the folder of pictures; ``mask_path`` the folder of masks.

    - Without ``ann_file``: what is meant by an expression in ``PICTURE.jpg`` stands in the mask
      ``PICTURE/EXPRESSION.png``; with ``expression``, which then holds for all pictures, in ``PICTURE.png``.
    - ``ann_file``: a JSON list of ``{"image": "PICTURE.jpg", "expression": "the red car", ...}``, a record for each
      thing that is meant, with ``"mask": "FILE.png"`` or ``"segmentation"``, COCO polygons or RLE. ``expression`` may
      be a list of wordings; ``height`` and ``width`` may state the picture's size.

    A mask has two values: 0 for what is not meant, another for what is. ``protocol``: see :class:`ExpressionDataset`.
    """

    remedy = 'docs/own_data.md says what it is made of.'

    def __init__(self, *, data_prefix: dict[str, str], expression: str = '', **kwargs: Any) -> None:
        self.expression = expression
        super().__init__(data_prefix=data_prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        images: dict[str, Record] = {}
        targets: dict[str, list[dict]] = {}
        for record in self._listed() if self.ann_file else self._found():
            with self.tolerating():
                name = record.words('image')
                target, size = self._target(record)
                image = images.setdefault(name, Record({'id': name, 'file_name': name, **size}, record.where))
                if any(image.content.get(key, value) != value for key, value in size.items()):
                    raise DataError(f'{record.where}: the size of {name} is {size}, and in {image.where} another.')
                targets.setdefault(name, []).append(target)
        if not targets:
            raise DataError(
                f'{self.ann_file or self.data_prefix["img_path"]} has no picture with a mask. {self.remedy}'
            )
        return [self._sample(images[name], found) for name, found in targets.items()]

    def _sample(self, image: Record, targets: list[dict]) -> dict:
        sample_id = '/'.join(filter(None, (self.name, str(image.identity()))))
        return self.sample(image, sample_id, self.protocol, targets=targets)

    def _listed(self) -> Iterator[Record]:
        """The records of the JSON file."""
        for number, value in enumerate(values_of(load_json(self.ann_file), self.ann_file), 1):
            with self.tolerating():
                yield Record.of(value, f'{self.ann_file}: record number {number}')

    def _found(self) -> Iterator[Record]:
        """What the folders hold, in records like those of the JSON file."""
        folder, masks = self.data_prefix['img_path'], self.data_prefix.get('mask_path')
        if not masks:
            raise DataError(f'FolderDataset needs an ann_file or data_prefix.mask_path. {self.remedy}')
        stems: dict[str, str] = {}
        for name in sorted(list_dir_or_file(folder, list_dir=False)):
            if PurePath(name).suffix.lower() not in picture_suffixes():
                continue
            stem, where = PurePath(name).stem, join_path(folder, name)
            with self.tolerating():
                if stem in stems:
                    raise DataError(f'{where} and {stems[stem]} have the same masks: one of them is too many.')
                stems[stem] = name
                for mask, expression in self._masks(stem, where):
                    yield Record({'image': name, 'mask': mask, 'expression': expression}, where)

    def _masks(self, stem: str, where: str) -> list[tuple[str, str]]:
        """(file, expression) of each mask of a picture."""
        masks = self.data_prefix['mask_path']
        if self.expression:
            return [(f'{stem}{MASK_SUFFIX}', self.expression)]
        folder = join_path(masks, stem)
        names = sorted(list_dir_or_file(folder, list_dir=False, suffix=MASK_SUFFIX)) if isdir(folder) else []
        if not names:
            raise DataError(f'{where} has no mask: {join_path(folder, f"EXPRESSION{MASK_SUFFIX}")} does not exist.')
        return [(join_path(stem, name), PurePath(name).stem) for name in names]

    def _target(self, record: Record) -> tuple[dict, dict[str, int]]:
        """What a record means, and the size of its picture as far as it states it."""
        sentences = record.several_words('expression')
        if not sentences:
            raise record.wrong('expression', 'a text or several')
        size = {key: record.whole(key, least=1) for key in ('height', 'width') if key in record}
        if 'mask' in record:
            folder = self.data_prefix.get('mask_path') or self.data_root
            segmentation: Any = MaskFile(join_path(folder, record.words('mask')))
            with open_file(segmentation) as mask:
                size = dict(height=mask.height, width=mask.width)
        else:
            segmentation = record.value('segmentation')
            self.count_flat(count_flat(segmentation), record.where)
            if isinstance(segmentation, dict) and 'size' in segmentation:
                size = dict(zip(('height', 'width'), Record(segmentation, record.where).wholes('size'), strict=False))
        return self.target(sentences, [segmentation], record.where), size
