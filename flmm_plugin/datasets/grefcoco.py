"""Generalised referring expressions: several targets, one, or none."""

from __future__ import annotations

from typing import Any

from flmm_plugin.datasets.records import Record, Table, load_json
from flmm_plugin.datasets.refcoco import RefCOCODataset
from flmm_plugin.registry import DATASETS

NO_TARGET = -1


@DATASETS.register_module()
class GRefCOCODataset(RefCOCODataset):
    """gRefCOCO in its official files (arXiv 2306.00968): RefCOCO's layout with ``grefs(unc).json`` as ``split_file``.

    A reference there has a list of annotations, ``ann_id``, instead of one: their masks are united, and ``[-1]`` says
    that nothing in the image is meant, which gives an empty mask. Splits: 'train', 'val', 'testA', 'testB'. Like the
    authors' loader (``grefer.py`` in henghuiding/ReLA), it leaves crowds out of the union.

    ``protocol`` is 'generalized/' and one of :class:`RefCOCODataset`'s. 'generalized/independent/all_sentences' is
    the benchmark's: each expression alone, for its absence is to be told without the others' help.
    """

    task = 'generalized/'
    unique_refs = False  # the authors' loader reckons with it
    remedy = 'It needs instances.json and grefs(unc).json of gRefCOCO and the images of COCO train2014.'

    def __init__(self, *, protocol: str = 'generalized/independent/all_sentences', **kwargs: Any) -> None:
        super().__init__(protocol=protocol, **kwargs)

    def _load_refs(self) -> Any:
        return load_json(self.split_file)

    def _annotations(self, ref: Record, annotations: Table) -> list[Record]:
        ids = ref.identities('ann_id')
        if not ids:
            raise ref.wrong('ann_id', f'ids of annotations, or [{NO_TARGET}] where nothing is meant')
        empty = ids == [NO_TARGET]
        if ref.flag('no_target', default=empty) != empty:
            raise ref.wrong('no_target', f"the same as 'ann_id' says, {ids}")
        if empty:
            return []
        found = [annotations.find(one) for one in ids]
        return [annotation for annotation in found if not annotation.flag('iscrowd', default=False)] or found
