"""Edge-aware up-sampling without a segmenter."""

from __future__ import annotations

from pathlib import Path

import torch

from flmm_plugin.models.refiners import GuidedFilterRefiner
from flmm_plugin.registry import MODELS
from tests.tiny_flmm import four_samples, tiny_flmm
from tests.tiny_lmms import FAMILIES


def disc(side: int, radius: float) -> torch.Tensor:
    at = torch.arange(side) + 0.5 - side / 2
    return (at[:, None] ** 2 + at**2).sqrt() < radius


def iou(one: torch.Tensor, other: torch.Tensor) -> float:
    return ((one & other).sum() / (one | other).sum()).item()


def test_edges_move_to_those_of_the_image() -> None:
    truth = disc(128, 30)
    image = (torch.where(truth, 200, 40) + torch.randint(-5, 5, (3, 128, 128), generator=torch.Generator())).byte()
    cells = torch.nn.functional.adaptive_avg_pool2d(truth[None].float(), 8)
    coarse = (cells - 0.5) * 8
    plain = torch.nn.functional.interpolate(coarse[None], size=(128, 128), mode='bilinear')[0, 0] > 0
    logits, scores = GuidedFilterRefiner()(image, coarse)
    assert logits.shape == (1, 128, 128) and 0.5 < scores[0] <= 1
    assert iou(logits[0] > 0, truth) > 0.97 > iou(plain, truth)


def test_nothing_is_trained_and_gradients_reach_the_mask_head(lmm_dirs: dict[str, Path]) -> None:
    torch.manual_seed(0)
    model = MODELS.build(tiny_flmm(lmm_dirs['llava'], FAMILIES['llava'][1], refiner=dict(type='none'))).train()
    assert not list(model.sam.parameters())
    losses = model(*four_samples(), mode='loss')
    (losses['sam_loss_mask'] + losses['sam_loss_dice']).backward()
    assert all(p.grad is not None for name, p in model.named_parameters() if name.startswith('mask_head'))
    model.eval()
    for sample in model(*four_samples(), mode='predict'):
        assert sample.pred_instances.masks.shape[1:] == sample.gt_instances.masks.shape[1:]


def test_images_of_any_shape_and_no_phrases() -> None:
    sam = GuidedFilterRefiner()
    for size in ((1, 7), (2, 300), (5, 5)):
        logits, _ = sam(torch.zeros(3, *size, dtype=torch.uint8), torch.randn(2, 6, 6))
        assert logits.shape == (2, *size) and logits.isfinite().all()
    logits, scores = sam(torch.zeros(3, 20, 20, dtype=torch.uint8), torch.randn(0, 6, 6))
    assert logits.shape == (0, 20, 20) and scores.shape == (0,)
