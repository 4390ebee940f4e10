"""Workers share the annotations: they are one array of bytes, and nothing that grows is kept beside it."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flmm_plugin.registry import DATASETS
from tests.test_datasets import test_check


def grefcoco(root: Path) -> dict:
    split_file = 'grefcoco/grefs(unc).json'
    return test_check.refcoco(root, type='GRefCOCODataset', ann_file='grefcoco/instances.json', split_file=split_file)


def reasonseg(root: Path) -> dict:
    prefix = dict(img_path='ReasonSeg/val')
    return dict(type='ReasonSegDataset', data_root=str(root), data_prefix=prefix, pipeline=test_check.PIPELINE)


DATA_SETS: list[tuple[str, Callable[[Path], dict]]] = [
    ('refcoco_root', test_check.refcoco),
    ('grefcoco_root', grefcoco),
    ('png_root', test_check.png),
    ('reasonseg_root', reasonseg),
]


@pytest.mark.parametrize('root, config', DATA_SETS, ids=[name for name, _ in DATA_SETS])
def test_annotations_are_one_array(root: str, config: Callable[[Path], dict], request: Any) -> None:
    dataset = DATASETS.build(config(request.getfixturevalue(root)))
    assert dataset.serialize_data and dataset.data_list == []
    assert isinstance(dataset.data_bytes, np.ndarray) and isinstance(dataset.data_address, np.ndarray)
    assert len(dataset.data_address) == len(dataset)


def rest_of(dataset: Any) -> int:
    """Bytes of everything but the serialised annotations and their addresses."""
    kept = {key: value for key, value in vars(dataset).items() if key not in ('data_bytes', 'data_address')}
    return len(pickle.dumps(kept))


def test_nothing_else_grows_with_the_data_set(png_root: Path) -> None:
    config = test_check.png(png_root)
    small = DATASETS.build(config)
    path = png_root / 'annotations' / 'png_coco_val2017.json'
    path.write_text(json.dumps(json.loads(path.read_text()) * 200))
    large = DATASETS.build(config)
    assert len(large) == 200 * len(small)
    assert large.data_bytes.nbytes > 150 * small.data_bytes.nbytes
    assert rest_of(large) == rest_of(small)
