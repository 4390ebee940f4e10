"""Running cases computed with the authors' code through the classes that training uses.

A case is a folder with ``image.png``, ``expected.json`` and ``expected.safetensors``; a folder of weights holds
``lmm/`` and ``flmm.safetensors``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from mmengine.structures import BaseDataElement, InstanceData
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from flmm_plugin.errors import UserError
from flmm_plugin.models.weights.checkpoints import read_tensors
from flmm_plugin.registry import MODELS

FAMILIES = {'llava': 'LlavaLMM', 'llava_next': 'LlavaNextLMM'}
TOLERANCES = dict(pixel_values=1e-5, attention_maps=1e-5, hidden_states=1e-4, coarse_logits=1e-3, sam_logits=1e-3)
LOSS_TOLERANCE = 1e-4
GRADIENT_TOLERANCE = 1e-3
# Gradients that vanish exactly, such as those of the keys' biases, come out as rounding noise around 1e-10.
SMALLEST_NORM = 1e-5


@dataclass(frozen=True)
class Difference:
    """How far one quantity is from the authors': the largest absolute difference, relative for gradient norms."""

    name: str
    value: float
    tolerance: float

    @property
    def passed(self) -> bool:
        return self.value <= self.tolerance


def check_case(case: str | Path, weights: str | Path, family: str | None = None) -> list[Difference]:
    """Run one case and compare everything it holds.

    Args:
        case: folder of the case.
        weights: folder of the weights.
        family: a key of :data:`FAMILIES`; by default the LMM's own model type.

    Raises:
        UserError: when a file is missing or the case asks for what the classes cannot build.
    """
    case, weights = Path(case), Path(weights)
    for path in (case / 'expected.json', case / 'expected.safetensors', case / 'image.png', weights / 'lmm'):
        if not path.exists():
            raise UserError(f'{path} is missing: give the folder of a case, and of its weights by --weights')
    expected = json.loads((case / 'expected.json').read_text())
    tensors = load_file(case / 'expected.safetensors')
    model = MODELS.build(model_config(weights, expected, family))
    model.load_state_dict(read_tensors(weights / 'flmm.safetensors'))
    model.train()
    image = torch.from_numpy(np.array(Image.open(case / 'image.png').convert('RGB'))).permute(2, 0, 1)
    sample = BaseDataElement(metainfo=dict(input_ids=tensors['input_ids'], phrase_ids=tensors['mask_ids']))
    sample.gt_instances = InstanceData(masks=tensors['gt_masks'] > 0)
    with torch.no_grad():
        results = model([image], [sample], mode='tensor')[0]
    results['sam_logits'] = results['refined_logits']
    results['pixel_values'] = model.prepare([image], [sample])[0].vision['pixel_values'][0]
    theirs = dict(tensors, coarse_logits=tensors['pred_masks'], sam_logits=tensors['sam_pred_masks'])
    differences = [
        Difference(name, largest_difference(results[name], theirs[name]), tolerance)
        for name, tolerance in TOLERANCES.items()
    ]
    losses = model([image], [sample], mode='loss')
    differences += compare_losses(losses, expected['losses'])
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    return differences + compare_gradients(model, expected['grad_norms'], set(expected['trainable']))


def model_config(weights: Path, expected: dict[str, Any], family: str | None) -> dict[str, Any]:
    """The config of a case's model; its dimensions are in the authors' terms."""
    family = family or json.loads((weights / 'lmm' / 'config.json').read_text())['model_type']
    if family not in FAMILIES:
        raise UserError(f'no adapter for LMM family {family!r}: use one of {sorted(FAMILIES)}')
    unet = expected['unet']
    convs = {*unet['enc_num_convs'], *unet['dec_num_convs']}
    if len(convs) != 1:
        raise UserError(f'UNetMaskHead has the same number of convolutions in all stages, the case asks for {convs}')
    processor = None
    if not (weights / 'lmm' / 'preprocessor_config.json').exists():
        processor = SimpleNamespace(
            image_processor=SimpleNamespace(image_mean=OPENAI_CLIP_MEAN, image_std=OPENAI_CLIP_STD)
        )
    return dict(
        type='FLMM',
        lmm=dict(type=FAMILIES[family], pretrained=str(weights / 'lmm'), dtype='float32', processor=processor),
        mask_head=dict(
            type='UNetMaskHead',
            base_channels=unet['base_channels'],
            num_stages=unet['num_stages'],
            num_convs=convs.pop(),
            upsample_input=unet['upsample_input'],
            normalize_input=unet['normalize_input'],
        ),
        refiner=dict(
            type='SAMRefiner',
            arch={name.removeprefix('encoder_'): value for name, value in expected['sam_arch'].items()},
        ),
        loss_mask=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True),
        loss_dice=dict(type='mmdet.DiceLoss', use_sigmoid=True, naive_dice=True, eps=1.0),
    )


def largest_difference(ours: Tensor, theirs: Tensor) -> float:
    """Largest absolute difference; infinite where shapes differ."""
    return (ours - theirs).abs().max().item() if ours.shape == theirs.shape else float('inf')


def compare_losses(losses: dict[str, Tensor], expected: dict[str, float]) -> list[Difference]:
    """One entry a loss; ``accuracy`` and ``aiou`` count pixels beyond a threshold, so they are no losses."""
    return [
        Difference(name, abs(losses[name].item() - value), LOSS_TOLERANCE)
        for name, value in expected.items()
        if 'loss' in name
    ]


def compare_gradients(model: torch.nn.Module, expected: dict[str, float], trainable: set[str]) -> list[Difference]:
    """One entry a gradient norm, and the number of parameters trained by only one of the two."""
    ours = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    differences = [Difference('trainable_names', float(len(ours.keys() ^ trainable)), 0.0)]
    for name, norm in expected.items():
        gradient = ours[name].grad if name in ours else None
        value = float('inf') if gradient is None else abs(gradient.norm().item() - norm) / max(norm, SMALLEST_NORM)
        differences.append(Difference(f'grad_norm {name}', value, GRADIENT_TOLERANCE))
    return differences
