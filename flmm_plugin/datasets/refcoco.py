"""Referring expressions in the layout of RefCOCO, RefCOCO+ and RefCOCOg."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flmm_plugin.datasets.expressions import ExpressionDataset
from flmm_plugin.datasets.records import Id, Record, Table, load_json, values_of
from flmm_plugin.datasets.safe_pickle import load_plain_pickle
from flmm_plugin.datasets.transforms.polygons import count_flat
from flmm_plugin.errors import DataError
from flmm_plugin.registry import DATASETS


@DATASETS.register_module()
class RefCOCODataset(ExpressionDataset):
    """RefCOCO/+/g: COCO instances and a pickle of references, in MMDetection's layout.

    ``ann_file``: COCO instances JSON; ``split_file``: the references (``refs(unc).p``; ``refs(umd).p`` for RefCOCOg);
    ``split``: 'train', 'val', 'testA', 'testB' or 'test', whichever the split file has, or several of them. Where the
    data set has a ``name`` or several splits, its results are told apart as ``NAME_SPLIT``.

    A sample is one image with all its expressions; ``protocol``: see :class:`ExpressionDataset`.

    Text is the ``raw`` sentence in lower case, as in :class:`mmdet.datasets.RefCocoDataset`. Unlike that class,
    it draws its random sentence at each access instead of once for all, and reads the pickle without running it.
    """

    extra_files = ('split_file',)
    #: do different references have different ids?
    unique_refs = True
    remedy = (
        'It needs instances.json and refs(unc).p of RefCOCO and the images of COCO train2014, '
        'or a folder written by tools/make_scenes.py.'
    )

    def __init__(
        self,
        *,
        ann_file: str,
        split_file: str,
        split: str | Sequence[str] = 'train',
        **kwargs: Any,
    ) -> None:
        self.split_file = split_file
        self.splits = (split,) if isinstance(split, str) else tuple(split)
        super().__init__(ann_file=ann_file, **kwargs)

    def load_data_list(self) -> list[dict]:
        instances = Record.of(load_json(self.ann_file), self.ann_file)
        images = self.table(instances.items('images'), self.ann_file, 'image')
        annotations = self.table(instances.items('annotations'), self.ann_file, 'annotation')
        refs = self._refs_by_split()
        samples = []
        for split in self.splits:
            if split not in refs:
                raise DataError(f'{self.split_file} has no reference of split {split!r}; it has: {", ".join(refs)}.')
            targets: dict[Id, list[dict]] = {}
            for ref in refs[split]:
                with self.tolerating():
                    target = self._target(ref, annotations)
                    targets.setdefault(ref.identity('image_id'), []).append(target)
            for image_id, image_targets in targets.items():
                with self.tolerating():
                    samples.append(self._sample(images.find(image_id), image_targets, split))
        if not samples:
            raise DataError(f'{self.split_file}: no reference can be used; see the warnings above.')
        return samples

    def _load_refs(self) -> Any:
        return load_plain_pickle(self.split_file)

    def _refs_by_split(self) -> dict[str, list[Record]]:
        """The references of each split, in the file's order; splits are sorted."""
        found: dict[str, list[Record]] = {}
        seen: dict[Id, Any] = {}
        for number, value in enumerate(values_of(self._load_refs(), self.split_file), 1):
            with self.tolerating():
                ref = Record.of(value, f'{self.split_file}: reference number {number}')
                if 'ref_id' in ref:
                    identity = ref.identity('ref_id')
                    ref = Record(ref.content, f'{self.split_file}: reference {identity}')
                    if identity in seen and (self.unique_refs or seen[identity] == value):
                        raise DataError(f'{ref.where} is there twice: what it says would count twice.')
                    seen.setdefault(identity, value)
                found.setdefault(ref.words('split'), []).append(ref)
        return dict(sorted(found.items()))

    def _target(self, ref: Record, annotations: Table) -> dict:
        sentences = [sentence.words('raw').lower() for sentence in ref.records('sentences', 'sentence')]
        if not sentences:
            raise DataError(f'{ref.where} has no sentence.')
        image_id, found = ref.identity('image_id'), self._annotations(ref, annotations)
        for annotation in found:
            if annotation.identity('image_id') != image_id:
                raise DataError(
                    f'{ref.where} is of image {image_id}, but {annotation.where} of image '
                    f'{annotation.identity("image_id")}.'
                )
            self.count_flat(count_flat(annotation.value('segmentation')), annotation.where)
        ids = ', '.join(str(annotation.identity()) for annotation in found) or 'none'
        segmentations = [annotation.value('segmentation') for annotation in found]
        categories = {annotation.whole('category_id') for annotation in found if 'category_id' in annotation}
        target = self.target(sentences, segmentations, f'{self.ann_file}: annotation {ids} of image {image_id}')
        return dict(target, categories=categories)

    def _annotations(self, ref: Record, annotations: Table) -> list[Record]:
        """What a reference means: records of COCO's instances, whose masks are united."""
        annotation = annotations.find(ref.identity('ann_id'))
        if 'category_id' in ref and 'category_id' in annotation:
            category = annotation.whole('category_id')
            if ref.whole('category_id') != category:
                raise DataError(
                    f'{ref.where} is of category {ref.whole("category_id")}, but {annotation.where} of {category}.'
                )
        return [annotation]

    def _sample(self, image: Record, targets: list[dict], split: str) -> dict:
        """One sample of all targets of an image."""
        full_name = f'{self.name}_{split}' if self.name else split
        cat_ids = sorted(set().union(*(target.pop('categories') for target in targets)))
        about: dict[str, Any] = dict(targets=targets, cat_ids=cat_ids)
        sample = self.sample(image, f'{full_name}/{image.identity()}', self.protocol, **about)
        if self.name or len(self.splits) > 1:
            sample['dataset_name'] = full_name
        return sample
