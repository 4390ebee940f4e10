"""Referring expressions in the layout of RefCOCO, RefCOCO+ and RefCOCOg."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from flmm_plugin.datasets.base import GroundingDataset, load_json, lookup
from flmm_plugin.datasets.safe_pickle import load_plain_pickle
from flmm_plugin.errors import DataError
from flmm_plugin.registry import DATASETS
from flmm_plugin.structures import Segment

ARRANGEMENTS = ('concat', 'independent')
SENTENCES = ('first_sentence', 'all_sentences', 'random_sentence')


@DATASETS.register_module()
class RefCOCODataset(GroundingDataset):
    """RefCOCO/+/g: COCO instances and a pickle of references, in MMDetection's layout.

    ``ann_file``: COCO instances JSON; ``split_file``: the references (``refs(unc).p``; ``refs(umd).p`` for RefCOCOg);
    ``split``: 'train', 'val', 'testA', 'testB' or 'test', whichever the split file has, or several of them. Where the
    data set has a ``name`` or several splits, its results are told apart as ``NAME_SPLIT``.

    A sample is one image with all its expressions. ``protocol`` is 'ARRANGEMENT/SENTENCES'. Results of different
    protocols cannot be compared, so that it is part of every result's name:

    - 'concat': the expressions are one answer, each followed by "." (the authors' way); 'independent': each is an
      answer of its own, a branch that the LMM reads after the same image and question.
    - 'first_sentence', 'all_sentences': of each reference; 'random_sentence': another one at each access, for training.

    Text is the ``raw`` sentence in lower case, as in :class:`mmdet.datasets.RefCocoDataset`. Unlike that class,
    it draws its random sentence at each access instead of once for all, and reads the pickle without running it.
    """

    #: begins the protocol of a kindred task, whose results are not those of referring expression segmentation
    task = ''
    extra_files = ('split_file',)
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
        protocol: str = 'concat/first_sentence',
        **kwargs: Any,
    ) -> None:
        arrangement, _, sentences = protocol.removeprefix(self.task).partition('/')
        if not protocol.startswith(self.task) or arrangement not in ARRANGEMENTS or sentences not in SENTENCES:
            expected = f'{self.task!r}, ' * bool(self.task) + f'one of {ARRANGEMENTS}, "/" and one of {SENTENCES}'
            raise ValueError(f'protocol={protocol!r}: expected {expected}')
        self.split_file = split_file
        self.splits = (split,) if isinstance(split, str) else tuple(split)
        self.protocol = protocol
        self.arrangement, self.sentences = arrangement, sentences
        super().__init__(ann_file=ann_file, **kwargs)

    def load_data_list(self) -> list[dict]:
        instances = load_json(self.ann_file)
        images = {image['id']: image for image in instances['images']}
        annotations = {annotation['id']: annotation for annotation in instances['annotations']}
        refs = self._load_refs()
        samples = []
        for split in self.splits:
            targets: dict[int, list[dict]] = {}
            for ref in refs:
                if ref['split'] == split:
                    with self.tolerating():
                        target = self._target(ref, annotations)
                        targets.setdefault(ref['image_id'], []).append(target)
            if not targets:
                known = ', '.join(sorted({ref['split'] for ref in refs}))
                raise DataError(f'{self.split_file} has no reference of split {split!r}; it has: {known}.')
            for image_id, image_targets in targets.items():
                with self.tolerating():
                    image = lookup(images, image_id, 'image', self.ann_file)
                    samples.append(self._sample(image, image_targets, split))
        return samples

    def _load_refs(self) -> list[dict]:
        return load_plain_pickle(self.split_file)

    def _target(self, ref: dict, annotations: dict[int, dict]) -> dict:
        sentences = [sentence['raw'].lower() for sentence in ref['sentences']]
        if not sentences:
            raise DataError(f'{self.split_file}: reference {ref["ref_id"]} has no sentence.')
        found = self._annotations(ref, annotations)
        ids = ', '.join(str(annotation['id']) for annotation in found) or 'none'
        return dict(
            ref_id=ref['ref_id'],
            sentences=sentences[:1] if self.sentences == 'first_sentence' else sentences,
            segmentations=[annotation['segmentation'] for annotation in found],
            source=f'{self.ann_file}: annotation {ids} of image {ref["image_id"]}',
        )

    def _annotations(self, ref: dict, annotations: dict[int, dict]) -> list[dict]:
        """What a reference means: records of COCO's instances, whose masks are united."""
        return [lookup(annotations, ref['ann_id'], 'annotation', self.ann_file)]

    def _sample(self, image: dict, targets: list[dict], split: str) -> dict:
        """One sample of all targets of an image."""
        full_name = f'{self.name}_{split}' if self.name else split
        sample = self.sample(image, f'{full_name}/{image["id"]}', self.protocol, targets=targets)
        if self.name or len(self.splits) > 1:
            sample['dataset_name'] = full_name
        return sample

    def get_data_info(self, idx: int) -> dict:
        """The sample ``idx``; its sentences are drawn now if they are to be random."""
        info = super().get_data_info(idx)
        phrases = []
        for target in info.pop('targets'):
            sentences = target['sentences']
            if self.sentences == 'random_sentence':
                sentences = [random.choice(sentences)]
            for text in sentences:
                origin = {key: target[key] for key in ('segmentations', 'source')}
                is_plural = len(target['segmentations']) > 1
                phrases.append(dict(text=text, is_thing=True, is_plural=is_plural, **origin))
        info['phrases'] = phrases
        info['segments'] = []
        for index, phrase in enumerate(phrases):
            if self.arrangement == 'concat':
                info['segments'] += [Segment(phrase['text'], index), Segment('.')]
            else:
                info['segments'].append(Segment(phrase['text'], index, branch=index))
        return info
