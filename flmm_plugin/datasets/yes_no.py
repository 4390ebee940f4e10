"""Yes/no questions about images, in the files of POPE (arXiv 2305.10355)."""

from __future__ import annotations

import os.path as osp
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.fileio import exists, join_path

from flmm_plugin.datasets.base import GroundingDataset
from flmm_plugin.datasets.records import Id, Record, read_file
from flmm_plugin.errors import DataError
from flmm_plugin.plain_json import parse_lines
from flmm_plugin.registry import DATASETS

LABELS = {'yes': True, 'no': False}
FIELDS = ('question_id', 'image', 'text', 'label')
#: "Is there a dog in the image?" asks for "a dog"; some of POPE's questions say "imange".
EXISTENCE = re.compile(r'^is there (an? .+?)(?: in the (?:image|imange|picture|photo))?\s*\?$', re.IGNORECASE)


@DATASETS.register_module()
class YesNoDataset(GroundingDataset):
    """POPE's JSON lines: ``question_id``, ``image`` (a file's name), ``text`` and ``label``, 'yes' or 'no'.

    A sample is a question: ``prompt``, ``label`` (bool), ``question_id``, ``dataset_name`` (the split), and ``phrase``,
    what the question asks for, empty where it has not the form "Is there a ... (in the image)?".

    Args:
        splits: the file of each split by its name, relative to ``data_root``. The splits of one version have as many
            questions each: there are POPE files of 2,910 and of 3,000, which do not belong together.
        suffix: added to each question, for example lmms-eval's
            ``'\\nAnswer the question using a single word or phrase.'``
        data_prefix, pipeline, name and others: see :class:`GroundingDataset`; ``name`` stands before the split's name.

    Raises:
        DataError: a line is no question with an answer, there is none, an id comes twice, an image is missing, or the
            splits are not of one version; the message names file and line.
    """

    remedy = 'It needs the JSON lines of POPE and the images that they name, or a folder of tools/make_scenes.py.'
    protocol = 'yes_no'

    def __init__(self, *, splits: Mapping[str, str], suffix: str = '', **kwargs: Any) -> None:
        if not splits:
            raise ValueError('splits={}: at least one file is needed')
        self.splits = dict(splits)
        self.suffix = suffix
        super().__init__(**kwargs)

    def _join_prefix(self) -> None:
        super()._join_prefix()
        for name, path in self.splits.items():
            if self.data_root and not osp.isabs(path):
                self.splits[name] = join_path(self.data_root, path)
            if not exists(self.splits[name]):
                raise DataError(self._missing('file', self.splits[name]))

    def load_data_list(self) -> list[dict]:
        parts = {name: list(self._read(name, path)) for name, path in self.splits.items()}
        self._check_version({name: len(part) for name, part in parts.items()})
        return [sample for part in parts.values() for sample in part]

    def _check_version(self, counts: Mapping[str, int]) -> None:
        first = next(iter(counts))
        for name, count in counts.items():
            if count != counts[first]:
                short, long = sorted((first, name), key=lambda split: counts[split])
                raise DataError(
                    f'{self.splits[short]} ends with line {counts[short]}, {self.splits[long]} with line '
                    f'{counts[long]}: the splits are of different versions of POPE (2,910 and 3,000 questions). '
                    'Take all of them from one.'
                )

    def _read(self, split: str, path: str) -> Iterator[dict]:
        seen: dict[Id, str] = {}
        answers: dict[tuple[str, str], tuple[bool, str]] = {}
        full_name = f'{self.name}_{split}' if self.name else split
        for where, value in parse_lines(read_file(path).splitlines(), path):
            record = check(value, where)
            key, name = record.identity('question_id'), record.words('image')
            if key in seen:
                raise DataError(f'{where}: question_id {key} is that of {seen[key]} too. Are two files joined?')
            seen[key] = where
            label = LABELS[record.text('label').strip().lower()]
            first, there = answers.setdefault((name, record.words('text').casefold()), (label, where))
            if first != label:
                raise DataError(f'{where}: the answer is {record.text("label")!r}, but {there} says the contrary.')
            image = Record(dict(id=name, file_name=name), where)
            if not exists(self.image_path(name)):
                raise DataError(f'{where}: the image {self.image_path(name)} does not exist. {self.remedy}')
            asked = EXISTENCE.match(record.words('text'))
            sample = self.sample(image, f'{full_name}/{key}', self.protocol, question_id=key)
            yield {
                **sample,
                'dataset_name': full_name,
                'prompt': record.text('text') + self.suffix,
                'label': label,
                'phrase': asked[1] if asked else '',
            }
        if not seen:
            raise DataError(f'{path} holds no question. {self.remedy}')


def check(value: Any, where: str) -> Record:
    """A line's question.

    Raises:
        DataError: it is none.
    """
    missing = [name for name in FIELDS if not isinstance(value, dict) or name not in value]
    if missing:
        raise DataError(f'{where} lacks {", ".join(missing)}: is it a file of POPE?')
    record = Record(value, where)
    record.words('text')
    if str(value['label']).strip().lower() not in LABELS:
        raise DataError(f'{where}: the label is {value["label"]!r}, neither "yes" nor "no".')
    return record
