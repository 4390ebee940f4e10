"""Every shipped config parses, and what it names can be built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.evaluator import Evaluator
from torch import nn

from flmm_plugin.errors import UserError
from flmm_plugin.evaluation.grounding_metric import GroundingMetric
from flmm_plugin.evaluation.rec_metric import RECMetric
from flmm_plugin.registry import DATASETS, HOOKS, MODELS, VISUALIZERS
from tests.tiny_flmm import four_samples, tiny_refiner
from tests.tiny_lmms import FAMILIES
from tests.tiny_segmenters import AVAILABLE, save_segmenter

ROOT = Path(__file__).resolve().parents[1]
LEAVES = sorted(path for path in (ROOT / 'configs').rglob('*.py') if '_base_' not in path.parts)
DATA = sorted((ROOT / 'configs' / '_base_' / 'datasets').glob('*.py'))
#: The paper's own: its LMMs with its SAM.
PAPER = [p for p in LEAVES if p.parent.name in ('llava', 'llava_next', 'deepseek_vl') and 'unet-sam-l' in p.stem]


@pytest.fixture(params=LEAVES, ids=lambda path: str(path.relative_to(ROOT / 'configs')))
def config(request: pytest.FixtureRequest) -> Config:
    return Config.fromfile(request.param)


@pytest.fixture(params=LEAVES + DATA, ids=lambda path: str(path.relative_to(ROOT / 'configs')))
def data_config(request: pytest.FixtureRequest) -> Config:
    """A config that has data sets, with a model or without."""
    return Config.fromfile(request.param)


def data_sets(config: Config) -> list[Any]:
    """The configs of all data sets, inside wrappers too."""
    found = [config[f'{part}_dataloader'].dataset for part in ('train', 'val', 'test')]
    return [leaf for dataset in found for leaf in dataset.get('datasets', [dataset])]


def test_leaves_are_short() -> None:
    assert LEAVES
    for path in LEAVES:
        assert len(path.read_text().splitlines()) <= 25, path


def test_configs_of_the_paper_differ_in_the_lmm() -> None:
    """And in one question: the authors trained LLaVA-NeXT on narratives under its own."""
    names = ('model', 'train_dataloader', 'test_dataloader', 'optim_wrapper', 'param_scheduler', 'default_hooks')
    seen, prompts = [], {}
    for path in PAPER:
        config = Config.fromfile(path)
        lmm = config.model.pop('lmm')
        assert lmm.dtype == 'bfloat16'
        prompts[lmm.pretrained] = [data.pop('prompt', None) for data in data_sets(config)]
        seen.append({name: config[name] for name in names})
    assert len(prompts) == len(PAPER) == 5
    assert all(one == seen[0] for one in seen)
    for name, (first, *others) in prompts.items():
        assert first == ('What is shown in this image?' if 'v1.6' in name else None), name
        assert not any(others)


@pytest.mark.parametrize('path', PAPER, ids=lambda path: path.stem)
def test_config_of_the_paper_fits_a_small_lmm_of_its_family(path: Path, tmp_path: Path) -> None:
    """The adapter that a leaf names loads that family, in the leaf's own precision."""
    family = path.parent.name + ('_hybrid' if 'deepseek-vl-7b' in path.stem else '')
    if family not in FAMILIES:
        pytest.skip(f'this release of transformers has no {family}')
    save, _ = FAMILIES[family]
    config = Config.fromfile(path).model
    lmm = dict(config.lmm, pretrained=str(save(tmp_path / 'lmm')))
    model = MODELS.build(dict(config, lmm=lmm, refiner=tiny_refiner()))
    assert {parameter.dtype for parameter in model.lmm.parameters()} == {torch.bfloat16}
    images, samples = four_samples()
    losses = model(images[:1], samples[:1], mode='loss')
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    gradients = [parameter.grad for parameter in model.mask_head.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    (result,) = model(images[:1], samples[:1], mode='predict')
    assert result.pred_instances.masks.shape == (1, *images[0].shape[1:])


@pytest.mark.parametrize('path', [p for p in LEAVES if 'sam2.1' in p.stem], ids=lambda path: path.stem)
def test_refiners_of_transformers_stand_in_for_the_papers(path: Path, tmp_path: Path) -> None:
    if 'sam2' not in AVAILABLE:
        pytest.skip('this release of transformers has no SAM 2')
    config = Config.fromfile(path).model
    folder = save_segmenter('sam2', tmp_path / 'sam2')
    lmm = dict(type='LlavaLMM', pretrained=str(FAMILIES['llava'][0](tmp_path / 'lmm')))
    model = MODELS.build(dict(config, lmm=lmm, refiner=dict(config.refiner, pretrained=str(folder))))
    assert config.refiner.pretrained == 'facebook/sam2.1-hiera-large'
    losses = model(*four_samples(), mode='loss')
    assert all(value.isfinite() for value in losses.values())


def test_data_sets_say_what_is_missing(data_config: Config, tmp_path: Path) -> None:
    """Types and arguments are right if nothing but the files is wrong."""
    for dataset in data_sets(data_config):
        Compose(dataset.pipeline)
        with pytest.raises(UserError, match='does not exist'):
            DATASETS.build(dict(dataset, data_root=str(tmp_path)))


def test_every_data_set_lies_in_data_root(data_config: Config) -> None:
    assert {dataset.data_root for dataset in data_sets(data_config)} == {data_config.data_root}


def test_metrics_fit_the_data_sets(data_config: Config) -> None:
    for part in ('val', 'test'):
        metrics = Evaluator(list(data_config[f'{part}_evaluator'])).metrics
        dataset = data_config[f'{part}_dataloader'].dataset
        for leaf in dataset.get('datasets', [dataset]):
            if leaf.type == 'YesNoDataset':
                assert all(metric.accepts('yes_no') for metric in metrics)
                continue
            protocol = leaf.get('protocol', 'narrative')
            accepting = [metric for metric in metrics if metric.accepts(protocol)]
            of_masks = [m for m in accepting if isinstance(m, GroundingMetric) and not isinstance(m, RECMetric)]
            assert sorted(metric.field for metric in of_masks) == ['coarse_masks', 'masks']


def test_hooks_and_visualizer_build(config: Config, tmp_path: Path) -> None:
    for hook in [*config.default_hooks.values(), *config.custom_hooks]:
        HOOKS.build(hook)
    VISUALIZERS.build(dict(config.visualizer, name=str(tmp_path), save_dir=str(tmp_path)))


def test_parts_of_the_model_are_known(config: Config) -> None:
    for part in (config.model, config.model.lmm, config.model.mask_head, config.model.refiner):
        assert MODELS.get(part.type) is not None, part.type
    for loss in (config.model.loss_mask, config.model.loss_dice):
        assert isinstance(MODELS.build(loss), nn.Module)


def test_tiny_model_builds() -> None:
    config = Config.fromfile(ROOT / 'configs' / 'tiny' / 'flmm_tiny_scenes.py')
    model = MODELS.build(config.model)
    assert model.uses_text and sum(p.numel() for p in model.parameters() if p.requires_grad) > 10_000
