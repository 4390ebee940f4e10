"""tools/train.py and tools/test.py for real: a tiny random FLMM on a few scenes."""

from __future__ import annotations

import importlib.util
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from flmm_plugin.datasets.scenes import write_scenes
from tests.tiny_flmm import tiny_flmm

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
_base_ = [
    '{root}/configs/_base_/datasets/scenes.py',
    '{root}/configs/_base_/schedules/schedule_tiny.py',
    '{root}/configs/_base_/default_runtime.py',
]
model = {model}
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False)
val_dataloader = dict(batch_size=2, num_workers=0)
test_dataloader = dict(batch_size=2, num_workers=0)
train_cfg = dict(max_iters=4, val_interval=4)
default_hooks = dict(checkpoint=dict(interval=2, max_keep_ckpts=3), visualization=dict(interval=2))
"""


def run(tool: str, monkeypatch: pytest.MonkeyPatch, *arguments: Any) -> None:
    spec = importlib.util.spec_from_file_location(f'tool_{tool}', ROOT / 'tools' / f'{tool}.py')
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, 'argv', [f'{tool}.py', *(str(argument) for argument in arguments)])
    module.main()


@pytest.fixture(scope='module')
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('data') / 'scenes'
    write_scenes(root, num=6, seed=0, fractions=(0.5, 0.5, 0))
    return root


@pytest.fixture(scope='module')
def config(tmp_path_factory: pytest.TempPathFactory, tiny_llava_dir: Path) -> Path:
    path = tmp_path_factory.mktemp('config') / 'tiny.py'
    path.write_text(CONFIG.format(root=ROOT, model=tiny_flmm(tiny_llava_dir)))
    return path


@pytest.fixture(scope='module')
def trained(tmp_path_factory: pytest.TempPathFactory, config: Path, scenes: Path) -> Path:
    """The work dir of an uninterrupted training of 4 iterations."""
    work_dir = tmp_path_factory.mktemp('trained')
    with pytest.MonkeyPatch.context() as patch:
        run('train', patch, config, '--work-dir', work_dir, '--cfg-options', f'data_root={scenes}')
    return work_dir


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)['state_dict']


def test_checkpoint_holds_what_is_trained_and_nothing_else(trained: Path) -> None:
    names = weights(trained / 'iter_4.pth')
    assert all(name.startswith(('mask_head.', 'text_', 'sam.model.')) for name in names)
    assert not [name for name in names if 'image_encoder' in name]
    assert (trained / 'last_checkpoint').read_text() == str(trained / 'iter_4.pth')


def test_resumed_training_ends_with_the_same_weights(
    trained: Path, config: Path, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ['--cfg-options', f'data_root={scenes}']
    run('train', monkeypatch, config, '--work-dir', tmp_path, '--resume', trained / 'iter_2.pth', *options)
    resumed, whole = weights(tmp_path / 'iter_4.pth'), weights(trained / 'iter_4.pth')
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    changed = weights(trained / 'iter_2.pth')
    assert not all(torch.equal(changed[name], whole[name]) for name in whole)


def test_test_leaves_metrics_pictures_and_predictions(
    trained: Path, config: Path, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, work_dir, pictures = tmp_path / 'predictions.pkl', tmp_path / 'work', tmp_path / 'pictures'
    places = ['--work-dir', work_dir, '--show-dir', pictures, '--out', out]
    run('test', monkeypatch, config, trained / 'iter_4.pth', *places, '--cfg-options', f'data_root={scenes}')
    metrics = json.loads((work_dir / 'metrics.json').read_text())
    for name in ('png/narrative/AR_all', 'png_coarse/narrative/AR_all', 'res/concat', 'res_coarse/concat'):
        found = [metrics[key] for key in metrics if key.startswith(name)]
        assert found and all(0 <= value <= 1 for value in found)
    assert (pictures / 'contact_sheet.png').is_file()
    assert len(list(pictures.glob('narrative_*.png'))) == 2 and list(pictures.glob('val_*.png'))
    samples = pickle.loads(out.read_bytes())
    assert len(samples) == 6 and 'counts' in samples[0]['pred_instances']['coarse_masks'][0]


def error_of(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, tool: str, *arguments: Any) -> str:
    with pytest.raises(SystemExit) as exit_:
        run(tool, monkeypatch, *arguments)
    assert exit_.value.code == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith('Error: ')
    return message


def test_mistakes_get_a_line_each(
    trained: Path, config: Path, scenes: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'cut.pth').write_bytes((trained / 'iter_4.pth').read_bytes()[:2000])
    checkpoint, options = trained / 'iter_4.pth', ['--work-dir', tmp_path, '--cfg-options', f'data_root={scenes}']
    cases: list[tuple[list[Any], str]] = [
        (['test', tmp_path / 'no.py', checkpoint], 'no.py'),
        (['test', config, tmp_path / 'no.pth'], 'no.pth does not exist'),
        (['test', config, tmp_path / 'cut.pth'], 'cut.pth is cut off'),
        (['test', config, checkpoint, *options[:3], f'data_root={tmp_path / "no"}'], 'no/png/png_coco_val.json'),
        (['train', config, '--resume', tmp_path / 'no.pth'], 'no.pth does not exist'),
        (['train', config, *options, 'train_dataloader.dataset.type=ConcatDatset'], 'Did you mean ConcatDataset'),
        (['train', config, *options, 'model.lmm.type=LavaLMM'], 'Did you mean LlavaLMM'),
        (['test', config, checkpoint, *options, 'model.mask_head.base_channels=8'], 'does not fit this model'),
    ]
    for arguments, expected in cases:
        assert expected in error_of(capsys, monkeypatch, *arguments)


def test_refiner_may_be_left_out(
    config: Path, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_llava_dir: Path
) -> None:
    alone = tmp_path / 'alone.py'
    alone.write_text(CONFIG.format(root=ROOT, model=tiny_flmm(tiny_llava_dir, refiner=None)))
    options = [f'data_root={scenes}', 'train_cfg.max_iters=1']
    run('train', monkeypatch, alone, '--work-dir', tmp_path / 'work', '--cfg-options', *options)
    assert not [name for name in weights(tmp_path / 'work' / 'iter_1.pth') if name.startswith('sam.')]
