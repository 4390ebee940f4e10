"""The prompts that the tiny SAM is trained on.

Shape shorthand: P masks of a scene, (H, W) image size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from flmm_plugin.datasets.scenes import Scene, render, sample_scene
from flmm_plugin.datasets.scenes.render import BOTTOM, FIRST_THING, TOP
from flmm_plugin.datasets.scenes.world import groups
from flmm_plugin.models.caches.feature_cache import Features
from flmm_plugin.models.refiners import SAMRefiner
from flmm_plugin.models.refiners.base import PromptedRefiner
from flmm_plugin.structures import size_of

COARSE = 64  # side of the mask head's output


def phrase_masks(scene: Scene, owners: np.ndarray) -> Tensor:
    """Masks (P, H, W) of what a narrative of the scene names: both stuff regions and each group of equal things."""
    masks = [owners == TOP, owners == BOTTOM]
    masks += [np.isin(owners, np.array(group) + FIRST_THING) for group in groups(scene)]
    return torch.from_numpy(np.stack(masks)).float()


def simulate_coarse(masks: Tensor, generator: torch.Generator) -> Tensor:
    """Logits (P, 64, 64) such as a mask head makes of attention maps: blurred, shifted, noisy, too big or small."""

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * torch.rand((), generator=generator).item()

    coarse = []
    for mask in masks:
        side = int(uniform(10, 25))
        grid = F.interpolate(mask[None, None], size=(side, side), mode='area')
        shift = [uniform(-0.04, 0.04) for _ in range(2)]
        theta = torch.tensor([[[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]]])
        places = F.affine_grid(theta, [1, 1, COARSE, COARSE], align_corners=False)
        soft = F.grid_sample(grid, places, mode='bilinear', padding_mode='border', align_corners=False)[0, 0]
        noise = F.interpolate(
            torch.randn(1, 1, side, side, generator=generator), size=(COARSE, COARSE), mode='bilinear'
        )[0, 0]
        coarse.append((soft - uniform(0.3, 0.6)) * uniform(6, 14) + noise * uniform(0, 1.5))
    return torch.stack(coarse)


class PromptedScenes(IterableDataset):
    """Endless scenes with their masks and coarse versions of them."""

    def __init__(self, seed: int, start: int = 0) -> None:
        self.seed, self.start = seed, start

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        worker = get_worker_info()
        index, step = (self.start + worker.id, worker.num_workers) if worker else (self.start, 1)
        while True:
            yield self.sample(index)
            index += step

    def sample(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """Image (3, H, W) uint8, masks (P, H, W) and coarse logits (P, 64, 64)."""
        scene = sample_scene(np.random.default_rng([self.seed, index]))
        image, owners = render(scene)
        masks = phrase_masks(scene, owners)
        masks = masks[masks.flatten(1).any(1)]
        coarse = simulate_coarse(masks, torch.Generator().manual_seed(self.seed * 10**8 + index))
        return torch.from_numpy(image).permute(2, 0, 1), masks, coarse


def refine(
    refiner: PromptedRefiner,
    batch: list[tuple[Tensor, Tensor, Tensor]],
    encode: Callable[[list[Tensor]], Features] | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits (P, H, W) and predicted IoU (P,) of each sample; unlike in grounding, the image encoder is trained.

    ``encode``: in place of the refiner's own.
    """
    levels = (encode or refiner.encode)([image for image, _, _ in batch])
    for (image, _, coarse), maps in zip(batch, zip(*(level.split(1) for level in levels), strict=True), strict=True):
        size, input_size = size_of(image), refiner.input_size(image)
        dense, sparse = refiner.embed_prompts(coarse, size, input_size)
        own = maps[0] if isinstance(refiner, SAMRefiner) else maps
        logits, scores = refiner.decode([own] * len(dense), dense, list(sparse))
        yield refiner.image_masks(logits[:, 0], input_size, size), scores[:, 0]


def mask_iou(logits: Tensor, masks: Tensor) -> Tensor:
    """(P,) IoU of logits > 0 with masks."""
    inside, truth = logits > 0, masks > 0.5
    return (inside & truth).sum((1, 2)) / (inside | truth).sum((1, 2)).clamp(min=1)


def segmentation_loss(logits: Tensor, scores: Tensor, masks: Tensor) -> Tensor:
    """BCE, Dice, and the squared error of the predicted IoU."""
    chances = logits.sigmoid()
    overlap = (chances * masks).sum((1, 2))
    dice = 1 - (2 * overlap + 1) / (chances.sum((1, 2)) + masks.sum((1, 2)) + 1)
    bce = F.binary_cross_entropy_with_logits(logits, masks)
    return bce + dice.mean() + 0.1 * F.mse_loss(scores, mask_iou(logits.detach(), masks))
