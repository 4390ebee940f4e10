"""Data of one's own: a folder of pictures, and masks as PNG files, polygons or RLE."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from mmengine.fileio import join_path, list_dir_or_file

from flmm_plugin.datasets.expressions import ExpressionDataset
from flmm_plugin.datasets.records import Record, load_json, values_of
from flmm_plugin.datasets.transforms.mask_files import MaskFile
from flmm_plugin.datasets.transforms.polygons import count_flat
from flmm_plugin.errors import DataError
from flmm_plugin.images import open_file, picture_suffixes
from flmm_plugin.registry import DATASETS
from flmm_plugin.texts import composed

MASK_SUFFIX = '.png'


@DATASETS.register_module()
class FolderDataset(ExpressionDataset):
    """Pictures and masks in folders, or in one JSON file. A sample is one picture with all its expressions.

    ``data_prefix``: ``img_path`` the folder of pictures; ``mask_path`` the folder of masks.

    - Without ``ann_file``: what is meant by an expression in ``PICTURE.jpg`` stands in the mask
      ``PICTURE/EXPRESSION.png``; with ``expression``, which then holds for all pictures, in ``PICTURE.png``. Masks
      without a picture are noted.
    - ``ann_file``: a JSON list of ``{"image": "PICTURE.jpg", "expression": "the red car", ...}``, a record for each
      thing that is meant, with ``"mask": "FILE.png"`` or ``"segmentation"``, COCO polygons or RLE. ``expression`` may
      be a list of wordings; ``height`` and ``width`` may state the picture's size.

    A mask has two values: 0 for what is not meant, another for what is. ``protocol``: see :class:`ExpressionDataset`.
    """

    remedy = 'docs/own_data.md says what it is made of.'

    def __init__(self, *, data_prefix: dict[str, str], expression: str = '', **kwargs: Any) -> None:
        self.expression = expression
        self._unused: list[str] = []
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
            place = self.ann_file or self.data_prefix['img_path']
            reason = f' The first problem: {self.left_out[0]}' if self.left_out else ''
            raise DataError(f'{place} has no picture with a mask. {self.remedy}{reason}')
        return [self._sample(images[name], found) for name, found in targets.items()]

    def _sample(self, image: Record, targets: list[dict]) -> dict:
        sample_id = '/'.join(filter(None, (self.name, str(image.identity()))))
        return self.sample(image, sample_id, self.protocol, targets=targets, size_from=image.where)

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
        known = self._by_stem(masks, files=bool(self.expression))
        stems: dict[str, str] = {}
        for name in sorted(list_dir_or_file(folder, list_dir=False)):
            if PurePath(name).suffix.lower() not in picture_suffixes():
                continue
            stem, where = composed(PurePath(name).stem), join_path(folder, name)
            with self.tolerating():
                if stem in stems:
                    raise DataError(f'{where} and {stems[stem]} have the same masks: one of them is too many.')
                stems[stem] = name
                for mask, expression in self._masks(known.get(stem, []), stem, where):
                    content = {'image': name, 'mask': mask, 'expression': expression}
                    yield Record(content, join_path(masks, mask))
        self._unused = sorted(set(known) - set(stems))

    def _by_stem(self, folder: str, files: bool) -> dict[str, list[str]]:
        """What masks are kept in, pictures or folders, by the name without an ending."""
        found: dict[str, list[str]] = {}
        for name in sorted(list_dir_or_file(folder, list_dir=not files, list_file=files)):
            if not files or PurePath(name).suffix.lower() in picture_suffixes():
                found.setdefault(composed(PurePath(name).stem if files else name), []).append(name)
        return found

    def _masks(self, names: list[str], stem: str, where: str) -> list[tuple[str, str]]:
        """(file, expression) of each mask of a picture, from the ``names`` of what its masks are kept in."""
        masks = self.data_prefix['mask_path']
        expected = f'{stem}{MASK_SUFFIX}' if self.expression else f'{stem}/EXPRESSION{MASK_SUFFIX}'
        if self.expression:
            found = {self.expression: names} if names else {}
        else:
            found = {}
            for folder in names:
                for text, files in self._by_stem(join_path(masks, folder), files=True).items():
                    found.setdefault(text, []).extend(join_path(folder, file) for file in files)
        if not found:
            raise DataError(f'{where} has no mask: {join_path(masks, expected)} does not exist.')
        for text, files in found.items():
            if len(files) > 1:
                raise DataError(f'{where}: which mask of {", ".join(files)} is that of {text!r}?')
        return [(file, text) for text, (file,) in found.items()]

    @property
    def notes(self) -> list[str]:
        if not self._unused:
            return super().notes
        some = ', '.join(self._unused[:3]) + (', ...' if len(self._unused) > 3 else '')
        note = f'{self.data_prefix["mask_path"]} has masks of {len(self._unused)} pictures that are not there ({some})'
        return [*super().notes, note]

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
