"""Reasoning segmentation: an image, an instruction that has to be understood, and what it means as polygons."""

from __future__ import annotations

import random
from pathlib import PurePath
from typing import Any

from mmengine.fileio import exists, join_path, list_dir_or_file

from flmm_plugin.datasets.base import GroundingDataset, load_json
from flmm_plugin.errors import DataError
from flmm_plugin.registry import DATASETS
from flmm_plugin.structures import Segment

SENTENCES = ('first_sentence', 'all_sentences', 'random_sentence')
QUERIES = {'short': (False,), 'long': (True,), 'all': (False, True)}
IMAGES = ('.jpg', '.jpeg', '.png')


@DATASETS.register_module()
class ReasonSegDataset(GroundingDataset):
    """ReasonSeg (arXiv 2308.00692): a folder of pictures, each with a JSON file of the same name.

    The JSON has ``text``, one instruction or several wordings of it; ``is_sentence``, whether they are long;
    ``shapes``, polygons whose ``label`` says that they are the target, to be ignored, or (``flag``) without meaning.

    ``data_prefix``: ``img_path`` is the folder of a split. ``queries``: 'all', or only the 'short' or the 'long'
    ones (LISA reports them apart, too).

    ``protocol``: 'reasoning/first_sentence' as LISA evaluates, 'reasoning/all_sentences' (a sample for each wording),
    or 'reasoning/random_sentence' (another wording at each access, for training). The instruction itself is the
    phrase: it stands in the answer, alone, as an expression of RefCOCO does.
    """

    remedy = 'It needs the folder of one split of ReasonSeg, pictures and JSON files side by side.'

    def __init__(
        self,
        *,
        data_prefix: dict[str, str],
        protocol: str = 'reasoning/first_sentence',
        queries: str = 'all',
        **kwargs: Any,
    ) -> None:
        task, _, sentences = protocol.partition('/')
        if task != 'reasoning' or sentences not in SENTENCES:
            raise ValueError(f"protocol={protocol!r}: expected 'reasoning/' and one of {SENTENCES}")
        if queries not in QUERIES:
            raise ValueError(f'queries={queries!r}: expected one of {tuple(QUERIES)}')
        self.protocol = protocol
        self.sentences = sentences
        self.queries = queries
        super().__init__(data_prefix=data_prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        folder = self.data_prefix['img_path']
        samples: list[dict] = []
        for file_name in sorted(list_dir_or_file(folder, list_dir=False, suffix=IMAGES)):
            with self.tolerating():
                samples += self._samples(file_name)
        if not samples:
            raise DataError(f'{folder} has no picture with a JSON file and {self.queries} queries. {self.remedy}')
        return samples

    def _samples(self, file_name: str) -> list[dict]:
        """The samples of one picture."""
        stem = PurePath(file_name).stem
        path = join_path(self.data_prefix['img_path'], f'{stem}.json')
        if not exists(path):
            raise DataError(f'{path} is missing: the annotation of {file_name}. {self.remedy}')
        record = load_json(path, ('utf-8', 'cp1252'))
        for key in ('text', 'is_sentence', 'shapes'):
            if key not in record:
                raise DataError(f'{path} has no {key!r}, which every annotation of ReasonSeg has.')
        texts = [record['text']] if isinstance(record['text'], str) else list(record['text'])
        if not texts:
            raise DataError(f'{path}: "text" has no instruction.')
        if bool(record['is_sentence']) not in QUERIES[self.queries]:
            return []
        choices = {
            'first_sentence': [texts[:1]],
            'all_sentences': [[text] for text in texts],
            'random_sentence': [texts],
        }[self.sentences]
        shapes = [{key: shape.get(key) for key in ('label', 'points', 'shape_type')} for shape in record['shapes']]
        common: dict[str, Any] = dict(shapes=shapes, source=f'{path}: image {stem}')
        prefix = '/'.join(filter(None, (self.name, stem)))
        return [
            self.sample(
                dict(id=stem, file_name=file_name), f'{prefix}/{number}', self.protocol, texts=wordings, **common
            )
            for number, wordings in enumerate(choices)
        ]

    def get_data_info(self, idx: int) -> dict:
        """The sample ``idx``; its wording is drawn now if it is to be random."""
        info = super().get_data_info(idx)
        text = random.choice(info.pop('texts')).strip()
        origin = {key: info.pop(key) for key in ('shapes', 'source')}
        info['phrases'] = [dict(text=text, is_thing=True, is_plural=False, **origin)]
        info['segments'] = [Segment(text, 0), Segment('.')]
        return info
