"""From files to metrics with a tiny random FLMM: each data set trains it, and mmdet's metric agrees with ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.evaluation import RefSegMetric
from mmengine.dataset import pseudo_collate

from flmm_plugin.evaluation import GRESMetric, ReasonSegMetric, RESMetric
from flmm_plugin.registry import DATASETS, MODELS
from tests.test_datasets.test_check import refcoco
from tests.test_datasets.test_memory import grefcoco, reasonseg
from tests.test_evaluation.test_metrics import evaluate
from tests.tiny_flmm import tiny_flmm


@pytest.fixture(scope='module')
def model(tiny_llava_dir: Path) -> Any:
    torch.manual_seed(0)
    return MODELS.build(tiny_flmm(tiny_llava_dir))


def batch_of(config: dict) -> dict:
    return pseudo_collate(list(DATASETS.build(config)))


@pytest.mark.parametrize('protocol', ['concat/all_sentences', 'independent/first_sentence'])
def test_mmdet_s_metric_agrees_on_predictions(model: Any, refcoco_root: Path, protocol: str) -> None:
    samples = model.predict(**renamed(batch_of(refcoco(refcoco_root, protocol=protocol, test_mode=True))))
    assert any(sample.pred_instances.masks.any() for sample in samples)
    theirs, ours = evaluate(RefSegMetric(), samples), evaluate(RESMetric(), samples)
    for name in ('cIoU', 'mIoU'):
        assert 100 * ours[f'res/{protocol}/{name}'] == pytest.approx(float(theirs[name]), rel=1e-5)


@pytest.mark.parametrize(
    'root, config, metric, names',
    [
        ('grefcoco_root', grefcoco, GRESMetric, {'gIoU', 'cIoU', 'N-acc', 'T-acc'}),
        (
            'reasonseg_root',
            reasonseg,
            ReasonSegMetric,
            {f'{name}{kind}' for name in ('gIoU', 'cIoU', 'cIoU_by_size') for kind in ('', '_long', '_short')},
        ),
    ],
)
def test_other_data_sets_train_and_test(
    model: Any, request: Any, root: str, config: Callable[[Path], dict], metric: type, names: set[str]
) -> None:
    batch = renamed(batch_of(config(request.getfixturevalue(root))))
    losses = model.loss(**batch)
    assert all(loss.isfinite() for loss in losses.values())
    metrics = evaluate(metric(), model.predict(**batch))
    assert {key.rsplit('/', 1)[1] for key in metrics} == names
    assert all(0 <= value <= 1 for value in metrics.values())


def renamed(batch: dict) -> dict:
    return dict(images=batch['inputs'], data_samples=batch['data_samples'])
