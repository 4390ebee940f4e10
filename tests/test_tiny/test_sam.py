"""Training of the tiny SAM: prompts like those of grounding, and a loss that goes down."""

from dataclasses import asdict

import torch

from flmm_plugin.models.refiners import SAMRefiner
from flmm_plugin.models.refiners.sam_arch import ARCHS
from flmm_plugin.tiny.fitting import fit
from flmm_plugin.tiny.sam import PromptedScenes, mask_iou, refine, segmentation_loss

SMALL = {**asdict(ARCHS['tiny']), 'embed_dim': 32, 'depth': 1, 'global_attn_indexes': (0,), 'prompt_embed_dim': 32}


def test_simulated_masks_are_worse_than_the_truth_but_like_it():
    scenes = PromptedScenes(seed=0)
    found = []
    for index in range(20):
        _, masks, coarse = scenes.sample(index)
        assert coarse.shape == (len(masks), 64, 64)
        found.append(mask_iou(torch.nn.functional.interpolate(coarse[None], size=masks.shape[1:])[0], masks))
    ious = torch.cat(found)
    assert 0.5 < ious.mean() < 0.95
    _, _, again = scenes.sample(3)
    torch.testing.assert_close(again, scenes.sample(3)[2])


def test_a_few_steps_lower_the_loss():
    torch.manual_seed(0)
    refiner = SAMRefiner(arch=SMALL, prompts=('mask', 'box'))
    refiner.model.image_encoder.requires_grad_(True)
    batch = [PromptedScenes(seed=0).sample(index) for index in range(2)]

    def loss(samples):
        pairs = zip(refine(refiner, samples), samples, strict=True)
        return torch.stack([segmentation_loss(*found, truth) for found, (_, truth, _) in pairs]).mean()

    before = loss(batch).item()
    fit(loss, lambda step: iter([batch] * 30), refiner.named_parameters(), lr=3e-3, steps=30, log='test')
    assert loss(batch).item() < before - 0.05
