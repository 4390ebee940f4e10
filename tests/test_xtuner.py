"""`xtuner train` and `xtuner test` run the project's configs as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from flmm_plugin.datasets.scenes import write_scenes
from tests.test_engine.tiny_runs import run, run_file, weights, write_config

xtuner = pytest.importorskip('xtuner')
TOOLS = Path(xtuner.__file__).parent / 'tools'
# What `--deepspeed` makes of a config, save for DeepSpeed itself.
FLEXIBLE = ['runner_type=FlexibleRunner', 'strategy.type=SingleDeviceStrategy']


OPTIONS = ['--cfg-options', 'train_cfg.max_iters=2', 'train_cfg.val_interval=9']


@pytest.fixture
def config(tiny_llava_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config in the current folder, whose data are where it says."""
    monkeypatch.chdir(tmp_path)
    write_scenes(Path('data/scenes'), num=6, seed=0, fractions=(0.5, 0.5, 0))
    return write_config(tmp_path / 'tiny.py', tiny_llava_dir, refiner=None)


def assert_same_weights(*folders: str) -> None:
    ours, theirs = (weights(Path(folder, 'iter_2.pth')) for folder in folders)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_same_weights_and_metrics(config: Path) -> None:
    run('train', config, '--work-dir', 'ours', *OPTIONS)
    run_file(TOOLS / 'train.py', config, '--work-dir', 'theirs', *OPTIONS)
    assert_same_weights('ours', 'theirs')
    run('test', config, 'ours/iter_2.pth', '--work-dir', 'ours')
    run_file(TOOLS / 'test.py', config, '--checkpoint', 'theirs/iter_2.pth', '--work-dir', 'theirs')
    ours, theirs = (json.loads(Path(folder, 'metrics.json').read_text()) for folder in ('ours', 'theirs'))
    assert ours and ours == theirs


@pytest.mark.slow
def test_flexible_runner(config: Path) -> None:
    """From the same start: it builds the model later than mmengine's Runner, so that other weights would be drawn."""
    run('train', config, '--work-dir', 'start', *OPTIONS)
    again = [*OPTIONS, 'load_from=start/iter_2.pth']
    run('train', config, '--work-dir', 'ours', *again)
    run_file(TOOLS / 'train.py', config, '--work-dir', 'flexible', *again, *FLEXIBLE)
    assert_same_weights('ours', 'flexible')
