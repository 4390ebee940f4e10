"""What masks are compared with in training."""

import pytest
import torch

from flmm_plugin.models.losses import resize_targets
from flmm_plugin.registry import MODELS
from tests.tiny_flmm import four_samples, tiny_flmm
from tests.tiny_lmms import FAMILIES


def disc(side: int, scale: float = 1.0) -> torch.Tensor:
    at = (torch.arange(side) + 0.5) / side
    return (((at[:, None] - 0.5) ** 2 + (at[None] - 0.5) ** 2) < 0.04 * scale).float()[None]


def center(mask: torch.Tensor) -> float:
    """Mean column of a mask in fractions of its width."""
    side = mask.shape[-1]
    return float(((torch.arange(side) + 0.5) / side * mask[0].sum(0)).sum() / mask.sum())


def test_centered_resizing_does_not_shift_masks():
    mask = disc(192)
    assert center(resize_targets(mask, (64, 64), centered=True)) == pytest.approx(0.5, abs=1e-4)
    assert center(resize_targets(mask, (64, 64))) > 0.503  # the authors' way: a third of a cell to the lower right


def test_targets_at_image_size_are_the_masks_themselves(lmm_dirs):
    images, samples = four_samples()
    found = {}
    for targets in ('lmm', 'image'):
        torch.manual_seed(0)
        model = MODELS.build(tiny_flmm(lmm_dirs['llava'], FAMILIES['llava'][1], targets=targets))
        found[targets] = model(images[:1], samples[:1], mode='loss')
        (raw,) = model(images[:1], samples[:1], mode='tensor')
    masks = torch.as_tensor(samples[0].gt_instances.masks).float()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(raw['refined_logits'], masks)
    torch.testing.assert_close(found['image']['sam_loss_mask'], expected, atol=1e-5, rtol=0)
    assert found['lmm']['sam_loss_mask'] != found['image']['sam_loss_mask']


def test_unknown_targets(lmm_dirs):
    with pytest.raises(ValueError, match='targets must be'):
        MODELS.build(tiny_flmm(lmm_dirs['llava'], FAMILIES['llava'][1], targets='pixels'))
