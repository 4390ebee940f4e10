"""Reasoning segmentation: an image, an instruction that has to be understood, and what it means as polygons."""

from __future__ import annotations

import random
from pathlib import PurePath
from typing import Any

from mmengine.fileio import join_path, list_dir_or_file

from flmm_plugin.datasets.base import GroundingDataset
from flmm_plugin.datasets.expressions import SENTENCES
from flmm_plugin.datasets.records import Record, load_json
from flmm_plugin.datasets.transforms.shapes import count_flat_shapes
from flmm_plugin.errors import DataError
from flmm_plugin.images import picture_suffixes
from flmm_plugin.registry import DATASETS
from flmm_plugin.structures import Segment
from flmm_plugin.texts import composed

PROTOCOLS = (*SENTENCES, 'answered')
#: How F-LMM's authors ask (``scripts/reason_seg.py``, branch ``rebuttal``); there is no space before the request.
REQUEST = 'Briefly answer the question in a single sentence.'
SHORT = 'What is {} in this image? '
BEGIN = 'It is'
QUERIES = {'short': (False,), 'long': (True,), 'all': (False, True)}


@DATASETS.register_module()
class ReasonSegDataset(GroundingDataset):
    """ReasonSeg (arXiv 2308.00692): a folder of pictures, each with a JSON file of the same name.

    The JSON has ``text``, one instruction or several wordings of it; ``is_sentence``, whether they are long;
    ``shapes``, polygons whose ``label`` says that they are the target, to be ignored, or (``flag``) without meaning.

    ``data_prefix``: ``img_path`` is the folder of a split. ``queries``: 'all', or only the 'short' or the 'long'
    ones (LISA reports them apart, too).

    ``protocol``: 'reasoning/first_sentence' as LISA evaluates, 'reasoning/all_sentences' (a sample for each wording),
    or 'reasoning/random_sentence' (another wording at each access, for training). The instruction itself is the
    phrase: it stands in the answer, alone, as an expression of RefCOCO does. 'reasoning/answered' as F-LMM's authors
    evaluate: the first wording is a question, and what the LMM answers is the phrase (:class:`AnsweringFLMM`); such a
    sample has no ``segments``, but says how the answer is to ``begin``.
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
        if task != 'reasoning' or sentences not in PROTOCOLS:
            raise ValueError(f"protocol={protocol!r}: expected 'reasoning/' and one of {PROTOCOLS}")
        if queries not in QUERIES:
            raise ValueError(f'queries={queries!r}: expected one of {tuple(QUERIES)}')
        self.protocol = protocol
        self.sentences = sentences
        self.queries = queries
        super().__init__(data_prefix=data_prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        folder = self.data_prefix['img_path']
        samples: list[dict] = []
        for stem, names in sorted(self._names_by_stem().items()):
            with self.tolerating():
                samples += self._samples(stem, names)
        if not samples:
            raise DataError(f'{folder} has no picture with a JSON file and {self.queries} queries. {self.remedy}')
        return samples

    def _names_by_stem(self) -> dict[str, list[str]]:
        """The pictures and JSON files of the folder, whatever the case of their endings, by the name before it."""
        found: dict[str, list[str]] = {}
        for name in sorted(list_dir_or_file(self.data_prefix['img_path'], list_dir=False)):
            if PurePath(name).suffix.lower() in {'.json', *picture_suffixes()}:
                found.setdefault(composed(PurePath(name).stem), []).append(name)
        return found

    def _samples(self, stem: str, names: list[str]) -> list[dict]:
        """The samples of one picture, from its file and its JSON file."""
        file_name, annotation = self._pair(names)
        path = join_path(self.data_prefix['img_path'], annotation)
        record = Record.of(load_json(path, ('cp1252',)), path)
        texts = record.several_words('text')
        if not texts:
            raise DataError(f'{path}: "text" has no instruction.')
        is_long = record.flag('is_sentence')
        if is_long not in QUERIES[self.queries]:
            return []
        choices = {
            'first_sentence': [texts[:1]],
            'answered': [texts[:1]],
            'all_sentences': [[text] for text in texts],
            'random_sentence': [texts],
        }[self.sentences]
        common: dict[str, Any] = dict(shapes=self._shapes(record), source=f'{path}: image {stem}', is_long=is_long)
        prefix = '/'.join(filter(None, (self.name, stem)))
        image = Record({'id': stem, 'file_name': file_name, **stated_size(record)}, path)
        return [
            # An answer is another sample than the wording that it answers: one run may test and draw both.
            self.sample(
                image,
                f'{prefix}/{"answered" if self.sentences == "answered" else number}',
                self.protocol,
                texts=wordings,
                **common,
            )
            for number, wordings in enumerate(choices)
        ]

    def _pair(self, names: list[str]) -> tuple[str, str]:
        """The picture's and the JSON file's name among those of one stem."""
        folder = self.data_prefix['img_path']
        annotations = [name for name in names if PurePath(name).suffix.lower() == '.json']
        pictures = [name for name in names if name not in annotations]
        if not annotations:
            path = join_path(folder, f'{PurePath(pictures[0]).stem}.json')
            raise DataError(f'{path} is missing: the annotation of {", ".join(pictures)}. {self.remedy}')
        if not pictures:
            raise DataError(f'{join_path(folder, annotations[0])} has no picture of its name beside it. {self.remedy}')
        if len(names) > 2:
            raise DataError(f'{folder}: which belong together of {", ".join(names)}? One picture has one JSON file.')
        return pictures[0], annotations[0]

    def _shapes(self, record: Record) -> list[Any]:
        """What :func:`draw_shapes` needs of each shape; what is no shape stays, to be told when it is drawn."""
        shapes = record.items('shapes')
        keys = ('label', 'points', 'shape_type')
        self.count_flat(count_flat_shapes(shapes), record.where)
        return [{key: one.get(key) for key in keys} if isinstance(one, dict) else one for one in shapes]

    def get_data_info(self, idx: int) -> dict:
        """The sample ``idx``; its wording is drawn now if it is to be random."""
        info = super().get_data_info(idx)
        text = random.choice(info.pop('texts'))
        about = {key: info.pop(key) for key in ('shapes', 'source', 'is_long')}
        info['phrases'] = [dict(text=text, is_thing=True, is_plural=False, **about)]
        info['segments'] = [Segment(text, 0), Segment('.')]
        if self.sentences == 'answered':
            question = text if about['is_long'] else SHORT.format(text)
            info.update(segments=[], prompt=question + REQUEST, begin=BEGIN)
        return info


def stated_size(record: Record) -> dict[str, Any]:
    """``height`` and ``width`` of the picture where labelme wrote them."""
    names = {'height': 'imageHeight', 'width': 'imageWidth'}
    return {key: record.whole(name, least=1) for key, name in names.items() if record.content.get(name) is not None}
