"""MMEngine's and MMDetection's wrappers around the data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mmengine.dataset import ClassBalancedDataset

from flmm_plugin.errors import UserError
from flmm_plugin.registry import DATASETS
from tests.test_datasets import test_check
from tests.test_datasets.test_memory import grefcoco, reasonseg


def ids(dataset: Any) -> list[str]:
    return [dataset[index]['data_samples'].sample_id for index in range(len(dataset))]  # a RepeatDataset has no end


@pytest.mark.parametrize('kind', ['refcoco', 'png'])
def test_rare_categories_come_more_often(kind: str, request: pytest.FixtureRequest) -> None:
    """A sample as often as its rarest category asks for: ceil of sqrt(threshold / frequency)."""
    plain = DATASETS.build(getattr(test_check, kind)(request.getfixturevalue(f'{kind}_root')))
    categories = [plain.get_cat_ids(index) for index in range(len(plain))]
    assert all(categories) and all(found == sorted(set(found)) for found in categories)
    share = {one: sum(one in found for found in categories) / len(plain) for found in categories for one in found}
    times = [max(max(1, (4 / share[one]) ** 0.5) for one in found) for found in categories]
    balanced = ClassBalancedDataset(plain, oversample_thr=4)
    expected = [name for name, count in zip(ids(plain), times, strict=True) for _ in range(-int(-count // 1))]
    assert ids(balanced) == expected and len(expected) > len(plain)


def test_what_is_meant_by_several_annotations_has_all_their_categories(grefcoco_root: Path) -> None:
    dataset = DATASETS.build(grefcoco(grefcoco_root))
    assert all(isinstance(dataset.get_cat_ids(index), list) for index in range(len(dataset)))


def test_a_data_set_without_categories_says_so(reasonseg_root: Path) -> None:
    with pytest.raises(UserError, match='ReasonSegDataset knows no categories'):
        ClassBalancedDataset(DATASETS.build(reasonseg(reasonseg_root)), oversample_thr=0.5)


def test_several_data_sets_and_several_images(refcoco_root: Path) -> None:
    config = test_check.refcoco(refcoco_root)
    alone = ids(DATASETS.build(config))
    for wrapper in ('ConcatDataset', 'mmdet.ConcatDataset'):
        assert ids(DATASETS.build(dict(type=wrapper, datasets=[config, config]))) == alone * 2
    mixed = DATASETS.build(dict(type='mmdet.MultiImageMixDataset', dataset=config, pipeline=[]))
    assert ids(mixed) == alone
    repeated = DATASETS.build(dict(type='RepeatDataset', times=3, dataset=dict(config, indices=1)))
    assert ids(repeated) == alone[:1] * 3
