"""tools/train.py and tools/test.py for real: a tiny random FLMM on a few scenes."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from flmm_plugin.datasets.scenes import write_scenes
from tests.test_engine.tiny_runs import run, weights, write_config


@pytest.fixture(scope='module')
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('data') / 'scenes'
    write_scenes(root, num=6, seed=0, fractions=(0.5, 0.5, 0))
    return root


@pytest.fixture(scope='module')
def config(tmp_path_factory: pytest.TempPathFactory, tiny_llava_dir: Path) -> Path:
    return write_config(tmp_path_factory.mktemp('config') / 'tiny.py', tiny_llava_dir)


@pytest.fixture(scope='module')
def trained(tmp_path_factory: pytest.TempPathFactory, config: Path, scenes: Path) -> Path:
    """The work dir of an uninterrupted training of 4 iterations."""
    work_dir = tmp_path_factory.mktemp('trained')
    run('train', config, '--work-dir', work_dir, '--cfg-options', f'data_root={scenes}')
    return work_dir


def test_checkpoint_holds_what_is_trained_and_nothing_else(trained: Path) -> None:
    names = weights(trained / 'iter_4.pth')
    assert all(name.startswith(('mask_head.', 'text_', 'sam.model.')) for name in names)
    assert not [name for name in names if 'image_encoder' in name]
    assert (trained / 'last_checkpoint').read_text() == str(trained / 'iter_4.pth')


def test_resumed_training_ends_with_the_same_weights(trained: Path, config: Path, scenes: Path, tmp_path: Path) -> None:
    options = ['--cfg-options', f'data_root={scenes}']
    run('train', config, '--work-dir', tmp_path, '--resume', trained / 'iter_2.pth', *options)
    resumed, whole = weights(tmp_path / 'iter_4.pth'), weights(trained / 'iter_4.pth')
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    changed = weights(trained / 'iter_2.pth')
    assert not all(torch.equal(changed[name], whole[name]) for name in whole)


def test_test_leaves_metrics_pictures_and_predictions(
    trained: Path, config: Path, scenes: Path, tmp_path: Path
) -> None:
    out, work_dir, pictures = tmp_path / 'predictions.pkl', tmp_path / 'work', tmp_path / 'pictures'
    places = ['--work-dir', work_dir, '--show-dir', pictures, '--out', out]
    run('test', config, trained / 'iter_4.pth', *places, '--cfg-options', f'data_root={scenes}')
    metrics = json.loads((work_dir / 'metrics.json').read_text())
    for name in ('png/narrative/AR_all', 'png_coarse/narrative/AR_all', 'res/concat', 'res_coarse/concat'):
        found = [metrics[key] for key in metrics if key.startswith(name)]
        assert found and all(0 <= value <= 1 for value in found)
    assert (pictures / 'contact_sheet.png').is_file()
    assert len(list(pictures.glob('narrative_*.png'))) == 2 and list(pictures.glob('val_*.png'))
    samples = pickle.loads(out.read_bytes())
    assert len(samples) == 6 and 'counts' in samples[0]['pred_instances']['coarse_masks'][0]


def error_of(capsys: pytest.CaptureFixture, tool: str, *arguments: Any) -> str:
    with pytest.raises(SystemExit) as exit_:
        run(tool, *arguments)
    assert exit_.value.code == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith('Error: ')
    return message


def test_mistakes_get_a_line_each(trained: Path, config: Path, scenes: Path, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / 'cut.pth').write_bytes((trained / 'iter_4.pth').read_bytes()[:2000])
    checkpoint, options = trained / 'iter_4.pth', ['--work-dir', tmp_path, '--cfg-options', f'data_root={scenes}']
    cases: list[tuple[list[Any], str]] = [
        (['test', tmp_path / 'no.py', checkpoint], 'no.py'),
        (['test', config, tmp_path / 'no.pth'], 'no.pth does not exist'),
        (['test', config, tmp_path / 'cut.pth'], 'cut.pth is cut off'),
        (['test', config, checkpoint, *options[:3], f'data_root={tmp_path / "no"}'], 'no (data_root in'),
        (['train', config, '--resume', tmp_path / 'no.pth'], 'no.pth does not exist'),
        (['test', config, checkpoint, *options[:3], f'data_root={tmp_path}'], 'png/png_coco_val.json'),
        (['train', config, *options, 'train_dataloader.dataset.type=ConcatDatset'], 'Did you mean ConcatDataset'),
        (['train', config, *options, 'model.lmm.type=LavaLMM'], 'Did you mean LlavaLMM'),
        (['test', config, checkpoint, *options, 'model.mask_head.base_channels=8'], 'does not fit this model'),
    ]
    for arguments, expected in cases:
        assert expected in error_of(capsys, *arguments)


def test_refiner_may_be_left_out(config: Path, scenes: Path, tmp_path: Path, tiny_llava_dir: Path) -> None:
    alone = write_config(tmp_path / 'alone.py', tiny_llava_dir, refiner=None)
    options = [f'data_root={scenes}', 'train_cfg.max_iters=1']
    run('train', alone, '--work-dir', tmp_path / 'work', '--cfg-options', *options)
    assert not [name for name in weights(tmp_path / 'work' / 'iter_1.pth') if name.startswith('sam.')]


def test_training_log_tensorboard_and_pictures(scenes: Path, tmp_path: Path, tiny_llava_dir: Path) -> None:
    """By config alone: losses and overlaps in the log, event files, a validation on the way, pictures of it."""
    backends = "visualizer = dict(vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')])\n"
    config = write_config(tmp_path / 'watched.py', tiny_llava_dir, backends)
    options = [
        f'data_root={scenes}',
        'train_cfg.val_interval=2',
        'default_hooks.logger.interval=1',
        'default_hooks.visualization.draw=True',
        'default_hooks.visualization.interval=4',
    ]
    run('train', config, '--work-dir', tmp_path, '--cfg-options', *options)
    (log,) = tmp_path.glob('*/*.log')
    lines = [line for line in log.read_text().splitlines() if 'Iter(train)' in line]
    assert len(lines) == 4
    for word in ('eta:', 'loss:', 'loss_mask:', 'loss_dice:', 'sam_loss_mask:', 'aiou:', 'sam_aiou:'):
        assert all(word in line for line in lines), word
    assert list(tmp_path.rglob('events.out.tfevents.*'))
    (scalars,) = tmp_path.glob('*/vis_data/scalars.json')
    records = [json.loads(line) for line in scalars.read_text().splitlines()]
    assert [record['step'] for record in records if 'png/narrative/AR_all' in record] == [2, 4]
    names = sorted(path.name for path in tmp_path.rglob('val_*.png'))
    assert len(names) == 4  # the first and the fifth of six samples, twice
    assert {name[:-6] for name in names} == {names[0][:-6], names[2][:-6]}
    assert {name[-6:] for name in names} == {'_2.png', '_4.png'}


def test_training_ends_at_the_first_loss_that_is_no_number(config: Path, scenes: Path, tmp_path: Path, capsys) -> None:
    options = ('--work-dir', tmp_path, '--cfg-options', f'data_root={scenes}', 'optim_wrapper.optimizer.lr=1e30')
    with pytest.raises(SystemExit):
        run('train', config, *options, 'optim_wrapper.clip_grad=None', 'param_scheduler=[]')
    message = capsys.readouterr().err
    assert 'NaN or infinite' in message and 'training diverged' in message and 'smaller learning rate' in message
    for checkpoint in tmp_path.glob('iter_*.pth'):
        assert all(tensor.isfinite().all() for tensor in weights(checkpoint).values())
    for line in (line for path in tmp_path.glob('*/vis_data/*.json') for line in path.read_text().splitlines()):
        assert 'NaN' not in line and 'Infinity' not in line


def test_training_names_an_lmm_whose_numbers_are_broken(
    config: Path, scenes: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flmm_plugin.models.lmms import FrozenLMM

    load = FrozenLMM.__init__

    def load_broken(self, *args: Any, **kwargs: Any) -> None:
        load(self, *args, **kwargs)
        dict(self.named_parameters())[next(n for n, _ in self.named_parameters() if 'q_proj' in n)].data[0] = torch.nan

    monkeypatch.setattr(FrozenLMM, '__init__', load_broken)
    with pytest.raises(SystemExit):
        run('train', config, '--work-dir', tmp_path, '--cfg-options', f'data_root={scenes}')
    assert "the LMM's numbers are broken" in capsys.readouterr().err
    assert not list(tmp_path.glob('iter_*.pth'))


def test_a_test_run_names_broken_numbers(
    trained: Path, config: Path, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = torch.load(trained / 'iter_4.pth', weights_only=False)
    broken['state_dict']['mask_head.conv_seg.weight'][:] = torch.nan
    torch.save(broken, tmp_path / 'broken.pth')
    with pytest.raises(SystemExit):
        run('test', config, tmp_path / 'broken.pth', '--work-dir', tmp_path, '--cfg-options', f'data_root={scenes}')
    assert 'the numbers of the mask head or the refiner are broken' in capsys.readouterr().err
    assert not (tmp_path / 'metrics.json').exists()
