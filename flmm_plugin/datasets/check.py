"""Checking data sets before a long run: every file readable, ids that match, masks with pixels, known sizes.

Nothing here builds a model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset

from flmm_plugin.datasets.official_sizes import OFFICIAL_SIZES, Size
from flmm_plugin.errors import DataError
from flmm_plugin.registry import DATASETS


@dataclass
class Count:
    """What one split has, next to what its official edition has (None where that is not known)."""

    name: str
    protocol: str
    phrases: int = 0
    samples: int = 0
    image_ids: set = field(default_factory=set)

    @property
    def official(self) -> Size | None:
        return OFFICIAL_SIZES.get(self.name)

    def rows(self) -> Iterator[tuple[str, int, int | None]]:
        """(what is counted, how many there are, how many there should be)."""
        yield 'samples', self.samples, None
        yield 'images', len(self.image_ids), self.official.images if self.official else None
        yield 'phrases', self.phrases, self.official.phrases(self.protocol) if self.official else None


@dataclass
class Check:
    """What was found in one data set: problems, each naming file and id, notes on what is used in part, and pictures
    (packed samples)."""

    title: str
    counts: list[Count] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checked: int = 0
    pictures: list[dict] = field(default_factory=list)


def data_set_configs(config: Any, splits: Iterable[str]) -> list[dict]:
    """The configs of the data sets in these dataloaders ('train', 'val', 'test'), each once, out of all wrappers."""
    found: list[dict] = []
    for split in splits:
        loader = config.get(f'{split}_dataloader')
        for leaf in _leaves(loader['dataset']) if loader else ():
            if leaf not in found:
                found.append(leaf)
    return found


def _leaves(config: dict) -> Iterator[dict]:
    inner = config.get('datasets') or ([config['dataset']] if 'dataset' in config else [])
    if not inner:
        yield config
    for one in inner:
        yield from _leaves(one)


def check_data_set(config: dict, limit: int | None = None, workers: int = 0, pictures: int = 0) -> Check:
    """Read every annotation of a data set and decode its samples.

    ``limit``: decode so many samples only, spread over the data set. ``workers``: processes that decode.
    """
    place = config.get('split') or config.get('ann_file') or config.get('data_prefix', {}).get('img_path', '')
    check = Check(' '.join(filter(None, (config['type'], config.get('name'), str(place)))))
    try:
        # A record that cannot be read is a problem to list, not the end.
        dataset = DATASETS.build({**config, 'on_bad_data': 'skip', 'test_mode': False})
    except DataError as error:
        check.problems.append(str(error))
        return check
    check.problems += dataset.left_out
    check.notes = dataset.notes
    check.counts = count(dataset)
    check.problems += [problem for one in check.counts for problem in wrong_sizes(one)]
    chosen = spread(len(dataset), limit)
    reader = DataLoader(Trial(dataset, chosen), batch_size=None, num_workers=workers)
    check.problems += [problem for problem in reader if problem]
    check.checked = len(chosen)
    check.pictures = list(readable(dataset, spread(len(dataset), pictures)))
    return check


def count(dataset: Any) -> list[Count]:
    """Count by split, from the annotations alone."""
    counts: dict[str, Count] = {}
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        one = counts.setdefault(info['dataset_name'], Count(info['dataset_name'], info['protocol']))
        one.samples += 1
        one.phrases += len(info['phrases'])
        one.image_ids.add(info['img_id'])
    return list(counts.values())


def wrong_sizes(one: Count) -> list[str]:
    return [
        f'{one.name} has {number} {what}; its official edition has {official}.'
        for what, number, official in one.rows()
        if official is not None and number != official
    ]


def spread(length: int, number: int | None) -> list[int]:
    """At most ``number`` indices, evenly spread over ``length``; all if it is None."""
    if number is None or number >= length:
        return list(range(length))
    return np.linspace(0, length - 1, number).round().astype(int).tolist()


class Trial(Dataset):
    """Item i: what is wrong with the i-th of the ``chosen`` samples, or ''."""

    def __init__(self, dataset: Any, chosen: list[int]) -> None:
        self.dataset = dataset
        self.chosen = chosen

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, number: int) -> str:
        try:
            self.dataset.prepare_data(self.chosen[number])
        except DataError as error:
            return str(error)
        return ''


def readable(dataset: Any, chosen: list[int]) -> Iterator[dict]:
    """The packed samples among the chosen ones that can be read."""
    for index in chosen:
        try:
            yield dataset.prepare_data(index)
        except DataError:
            continue
