"""What users of MMEngine and MMDetection switch on: each works as there, or is refused with the reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.optim import AmpOptimWrapper

from flmm_plugin.datasets.scenes import write_scenes
from flmm_plugin.engine.impossible import check_possible
from flmm_plugin.errors import UserError, explain
from flmm_plugin.registry import MODELS
from tests.test_engine.tiny_runs import run, write_config
from tests.tiny_flmm import random_image, random_sample, tiny_flmm

SWITCHED_ON = """
train_dataset = _base_.train_dataloader.dataset
for part in train_dataset['datasets']:
    part['indices'] = 2
train_dataloader = dict(dataset=dict(_delete_=True, type='RepeatDataset', times=2, dataset=train_dataset))
train_cfg = dict(max_iters=4, val_interval=1, val_begin=4)
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='EMAHook', momentum=0.3),
    dict(type='ProfilerHook', by_epoch=False, profile_times=2, activity_with_cuda=False, json_trace_path=trace),
]
default_hooks = dict(checkpoint=dict(interval=2, save_best='auto', backend_args=dict(backend='local'), out_dir=out))
param_scheduler = [dict(type='CosineRestartLR', periods=[2, 2], restart_weights=[1, 0.5], eta_min=0, by_epoch=False)]
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'mask_head': dict(lr_mult=0.1)}, norm_decay_mult=0.0))
del train_dataset, part
"""


def train(folder: Path, root: Path, lmm: Path, *arguments: Any) -> dict[str, Any]:
    """Train with all of it switched on; the last checkpoint."""
    folder.mkdir()
    out = folder / 'kept'
    more = f'trace = {str(folder / "trace.json")!r}\nout = {str(out)!r}\n{SWITCHED_ON}del trace, out\n'
    config = write_config(folder / 'tiny.py', lmm, more)
    run('train', config, '--work-dir', folder, *arguments, '--cfg-options', f'data_root={root}')
    return torch.load(next(out.rglob('iter_4.pth')))


def test_all_at_once_and_resumed(tiny_llava_dir: Path, tmp_path: Path) -> None:
    scenes, once = tmp_path / 'scenes', tmp_path / 'once'
    write_scenes(scenes, num=6, seed=0, fractions=(0.7, 0.3, 0))
    whole = train(once, scenes, tiny_llava_dir)
    best = [path.name for path in once.rglob('best_*.pth')]
    assert len(best) == 1 and best[0].endswith('iter_4.pth') and (once / 'trace.json').stat().st_size > 0
    lines = [json.loads(line) for path in once.rglob('scalars.json') for line in path.read_text().splitlines()]
    assert sum(any(name.startswith('png/') for name in line) for line in lines) == 1  # val_begin
    averaged = {name.removeprefix('module.'): value for name, value in whole['ema_state_dict'].items()}
    assert averaged.keys() - {'steps'} == whole['state_dict'].keys()
    assert not any(name.startswith('lmm.') for name in averaged)
    assert any(not torch.equal(averaged[name], value) for name, value in whole['state_dict'].items())
    rates = {round(group['lr'] / whole['optimizer']['param_groups'][0]['lr'], 6) for group in groups(whole)}
    assert rates == {1.0, 0.1, 0.4}  # the mask head's tenth; 0.4 is what the tiny schedule gives SAM

    resumed = train(tmp_path / 'again', scenes, tiny_llava_dir, '--resume', next(once.rglob('iter_2.pth')))
    for part in ('state_dict', 'ema_state_dict'):
        for name, value in whole[part].items():
            torch.testing.assert_close(resumed[part][name], value, rtol=0, atol=0, msg=f'{part} {name}')
    assert [group['lr'] for group in groups(resumed)] == [group['lr'] for group in groups(whole)]


def groups(checkpoint: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = checkpoint['optimizer']['param_groups']
    return found


def test_three_hundred_phrases(tiny_llava_dir: Path) -> None:
    """They take up the 2 that are there in a short text too, which do not see the others."""
    torch.manual_seed(0)
    model = MODELS.build(tiny_flmm(tiny_llava_dir))
    image, words = random_image(32, 48), ['dog', 'sky'] * 150
    loss = sum(value for name, value in model.loss([image], [random_sample(32, 48, words)]).items() if 'loss' in name)
    loss.backward()
    assert loss.isfinite() and all(p.grad.isfinite().all() for p in model.mask_head.parameters())
    many, few = (
        model.eval().predict([image], [random_sample(32, 48, chosen)])[0].pred_instances
        for chosen in (words, words[:2])
    )
    assert many.masks.shape == (300, 32, 48) and many.phrases == words
    torch.testing.assert_close(many.scores[:2], few.scores, rtol=0, atol=1e-4)


def test_mixed_precision_in_bfloat16(tiny_llava_dir: Path) -> None:
    """mmengine's AmpOptimWrapper on the CPU, which it asks a GPU for and does not need one in bfloat16."""
    torch.manual_seed(0)
    model, losses = MODELS.build(tiny_flmm(tiny_llava_dir)), []
    parameters = [p for p in model.parameters() if p.requires_grad]
    with mock.patch('mmengine.optim.optimizer.amp_optimizer_wrapper.is_cuda_available', return_value=True):
        wrapper = AmpOptimWrapper(
            optimizer=torch.optim.AdamW(parameters, lr=1e-3), dtype='bfloat16', clip_grad=dict(max_norm=1.0)
        )
    data = dict(inputs=[random_image(32, 48)], data_samples=[random_sample(32, 48, ['dog', 'sky'])])
    with torch.no_grad():
        exact = model.parse_losses(model(**data, mode='loss'))[0]
    for _ in range(4):
        losses.append(model.train_step(data, wrapper)['loss'])
    assert losses[0] != exact and torch.isclose(losses[0], exact, rtol=0.02)
    assert losses[-1] < losses[0] and all(p.dtype == torch.float32 and p.isfinite().all() for p in parameters)


@pytest.mark.parametrize(
    'setting, message',
    [
        (dict(compile=True), 'torch.compile cannot follow'),
        (dict(compile=dict(backend='inductor')), 'torch.compile cannot follow'),
        (dict(efficient_conv_bn_eval=['mask_head']), 'batch normalisation'),
        (dict(optim_wrapper=dict(type='AmpOptimWrapper')), 'AmpOptimWrapper .* needs a GPU'),
    ],
)
def test_what_cannot_be_says_why(setting: dict, message: str) -> None:
    check_possible(ConfigDict(optim_wrapper=dict(type='OptimWrapper'), compile=dict(disable=True)))
    with (
        mock.patch('torch.cuda.is_available', return_value=False),
        pytest.raises(UserError, match=message),
    ):
        check_possible(ConfigDict(setting))


def test_a_missing_package_is_one_line() -> None:
    """As mmengine's Wandb, MLflow and other backends say it."""
    assert explain(ImportError('Please run "pip install wandb" to install wandb')) is not None
    assert explain(ImportError('cannot import name a')) is None
