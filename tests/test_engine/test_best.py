"""save_best and EarlyStoppingHook know which of two figures is better, in a run too."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from flmm_plugin.datasets.scenes import write_scenes
from flmm_plugin.engine import CheckpointHook, EarlyStoppingHook
from flmm_plugin.errors import UserError
from flmm_plugin.evaluation.grounding_metric import GroundingMetric, Overlaps
from flmm_plugin.registry import METRICS
from flmm_plugin.rle import encode_mask
from tests.test_engine.tiny_runs import run, write_config

PIXEL = encode_mask(np.ones((1, 1), bool))
RECORDS: dict[str, Any] = {
    'RECMetric': [('concat/first_sentence', [True])],
    'POPEMetric': [('random', '1', True, dict(authors='yes')), ('popular', '1', False, dict(authors='yes'))],
    'PresenceMetric': [(True, True, 0.7, dict(said=0.5)), (False, True, 0.3, dict(said=0.4))],
    'GCGMetric': [
        dict(group='', image_id=1, size=[1, 1], true=[PIXEL], labels=['a'], predicted=[PIXEL], phrases=['a'])
    ],
}
WRITERS = ('DumpGroundingResults', 'PhraseRecords')
LESS_IS_BETTER = ('calibration_error',)
NEITHER = ('yes_ratio',)


def metric_names() -> dict[str, list[str]]:
    """Every figure that each metric of this package gives, as mmengine names it, the first one first."""
    METRICS.import_from_location()
    pixels, flags = np.array([10, 20, 0]), np.array([True, False, True])
    overlaps = Overlaps(pixels, pixels + 1, pixels, flags, ~flags, pixels + 9, flags)
    names = {}
    for kind, metric in METRICS.module_dict.items():
        if issubclass(metric, GroundingMetric):
            built = metric()
            names[kind] = [f'{built.prefix}/refcoco_val/some/protocol/{name}' for name in built.measure(overlaps)]
        elif kind in RECORDS:
            built = metric(encoder='exact') if kind == 'GCGMetric' else metric()
            names[kind] = [f'{built.prefix}/{name}' for name in built.compute_metrics(RECORDS[kind])]
    assert names.keys() | set(WRITERS) == METRICS.module_dict.keys()
    names['GCGMetric'] += ['gcg/val/METEOR', 'gcg/val/CIDEr', 'gcg/val/recall_bert-base-uncased', 'gcg/mIoU_strict']
    return names


@pytest.mark.parametrize('kind, names', metric_names().items())
def test_every_figure_says_which_is_better(kind: str, names: list[str]) -> None:
    for name in names:
        if any(part in name for part in NEITHER):
            continue
        rule = 'less' if name.endswith(LESS_IS_BETTER) else 'greater'
        assert CheckpointHook(save_best=name).rules == [rule] == [EarlyStoppingHook(name).rule], name
    assert CheckpointHook(save_best=names[0]).rules == ['greater']  # what 'auto' goes by


def test_rules_of_other_metrics_stay_mmengine_s() -> None:
    assert CheckpointHook(save_best='val_loss').rules == ['less'] == [EarlyStoppingHook('val_loss').rule]
    assert CheckpointHook(save_best='res/mIoU', rule='less').rules == ['less']
    for hook in (lambda name: CheckpointHook(save_best=name), EarlyStoppingHook):
        with pytest.raises(ValueError, match='Cannot infer the rule'):
            hook('what')


def test_a_metric_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match='no metric res/cIoU among png/AR_all'):
        CheckpointHook(save_best='res/cIoU')._save_best_checkpoint(SimpleNamespace(), {'png/AR_all': 0.5})


def test_a_run_keeps_the_best_and_stops(tiny_llava_dir: Path, tmp_path: Path) -> None:
    """Nothing is learned at a learning rate of 0, so that the first validation stays the best one."""
    write_scenes(tmp_path / 'scenes', num=4, seed=0, fractions=(0.5, 0.5, 0))
    stop = "dict(type='EarlyStoppingHook', monitor='res/concat/first_sentence/mIoU', patience=2)"
    more = f'custom_hooks = [*_base_.custom_hooks, {stop}]\n'
    config = write_config(tmp_path / 'tiny.py', tiny_llava_dir, more)
    options = ['train_cfg.max_iters=6', 'train_cfg.val_interval=1', 'train_cfg.val_begin=2']
    hooks = ['default_hooks.checkpoint.save_best=auto', 'default_hooks.checkpoint.interval=1']
    still = [f'data_root={tmp_path / "scenes"}', 'optim_wrapper.optimizer.lr=0']
    run('train', config, '--work-dir', tmp_path, '--cfg-options', *options, *hooks, *still)
    assert (tmp_path / 'last_checkpoint').read_text().endswith('iter_4.pth')
    (kept,) = tmp_path.glob('best_*.pth')
    assert kept.name.endswith('iter_2.pth')
