"""A training that was killed goes on as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

from flmm_plugin.datasets.scenes import write_scenes
from flmm_plugin.engine.config import newest_checkpoint
from tests.test_engine.tiny_runs import command, environment, run, weights, write_config

# 15 samples, hence 8 batches an epoch. Sentences are drawn at random in the worker.
LOADER = "train_dataloader = dict(batch_size=2, num_workers=1, sampler=dict(type='{sampler}', shuffle=True))\n"
BY_ITERATIONS = "train_cfg = dict(max_iters=14, val_interval=5)\ndefault_hooks['checkpoint']['interval'] = 6\n"
BY_EPOCHS = """
train_cfg = dict(type='ResumableEpochLoop', max_epochs=2, val_interval=1, _delete_=True)
default_hooks['checkpoint']['interval'] = 12
"""
CASES = {
    'iterations': (LOADER.format(sampler='InfiniteSampler') + BY_ITERATIONS, 6, 14),
    'epochs': (LOADER.format(sampler='DefaultSampler') + BY_EPOCHS, 12, 16),
}


@pytest.fixture(scope='module')
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('data') / 'scenes'
    write_scenes(root, num=6, seed=0, fractions=(0.5, 0.5, 0))
    return root


def kill_after(checkpoint: Path, words: list[str]) -> None:
    """Start a training and send it, with its workers, SIGKILL as soon as it has written ``checkpoint``."""
    log = checkpoint.parent.with_suffix('.log')
    with log.open('w') as out:
        process = subprocess.Popen(
            words, stdout=out, stderr=subprocess.STDOUT, env=environment(), start_new_session=True
        )
        last = checkpoint.parent / 'last_checkpoint'
        while process.poll() is None and not (last.is_file() and last.read_text() == str(checkpoint)):
            time.sleep(0.005)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, log.read_text()[-4000:]


@pytest.mark.parametrize('case', ['iterations', pytest.param('epochs', marks=pytest.mark.slow)])
def test_killed_and_resumed_training_ends_with_the_same_weights(
    case: str, scenes: Path, tiny_llava_dir: Path, tmp_path: Path
) -> None:
    more, killed_at, end = CASES[case]
    config = write_config(tmp_path / 'tiny.py', tiny_llava_dir, more)
    options = ['--cfg-options', f'data_root={scenes}']
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    run('train', config, '--work-dir', whole, *options)

    saved = killed / f'iter_{killed_at}.pth'
    kill_after(saved, command('train.py', config, '--work-dir', killed, *options))
    assert not (killed / f'iter_{end}.pth').exists()
    # As if it had been killed while it wrote the next one.
    cut = killed / f'iter_{end - 1}.pth'
    cut.write_bytes(saved.read_bytes()[:-1000])
    (killed / 'last_checkpoint').write_text(str(cut))

    run('train', config, '--work-dir', killed, '--resume', *options)
    expected, resumed = weights(whole / f'iter_{end}.pth'), weights(killed / f'iter_{end}.pth')
    assert all(torch.equal(resumed[name], expected[name]) for name in expected)
    before = weights(saved)
    assert not all(torch.equal(before[name], expected[name]) for name in expected)


def test_newest_checkpoint_is_the_newest_whole_one(tmp_path: Path) -> None:
    assert newest_checkpoint(str(tmp_path)) is None
    for age, name in enumerate(('iter_30.pth', 'iter_20.pth', 'iter_10.pth')):
        torch.save({'a': torch.zeros(9)}, tmp_path / name)
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    assert newest_checkpoint(str(tmp_path)) == str(tmp_path / 'iter_30.pth')
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_10.pth'))
    assert newest_checkpoint(str(tmp_path)) == str(tmp_path / 'iter_10.pth')
    for broken in (b'', (tmp_path / 'iter_10.pth').read_bytes()[:-10]):
        (tmp_path / 'iter_10.pth').write_bytes(broken)
        os.utime(tmp_path / 'iter_10.pth', (2000, 2000))
        assert newest_checkpoint(str(tmp_path)) == str(tmp_path / 'iter_30.pth')
    (tmp_path / 'last_checkpoint').write_text('moved/away/iter_40.pth')
    assert newest_checkpoint(str(tmp_path)) == str(tmp_path / 'iter_30.pth')
