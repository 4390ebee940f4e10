"""Training of the tiny SAM 2: from scratch, gradients to the image encoder as well, a folder that the refiner reads."""

from pathlib import Path

import pytest
import torch
import transformers
from packaging.version import Version

if Version(transformers.__version__) < Version('4.56'):
    pytest.skip('this release of transformers has no SAM 2', allow_module_level=True)

from functools import partial

from flmm_plugin.models.refiners import HFSAMRefiner
from flmm_plugin.tiny.sam import PromptedScenes, refine, segmentation_loss
from flmm_plugin.tiny.sam2 import encode_in_training, save_untrained


def test_steps_lower_the_loss_and_what_is_saved_is_read_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_untrained(tmp_path)
    refiner = HFSAMRefiner(pretrained=str(tmp_path), prompts=('mask', 'box'))
    refiner.model.requires_grad_(True)
    encode = partial(encode_in_training, refiner)
    batch = [PromptedScenes(seed=0).sample(index) for index in range(2)]

    def loss() -> torch.Tensor:
        pairs = zip(refine(refiner, batch, encode), batch, strict=True)
        return torch.stack([segmentation_loss(*found, truth) for found, (_, truth, _) in pairs]).mean()

    optimizer = torch.optim.AdamW(refiner.parameters(), 2e-3)
    losses = []
    for _ in range(8):
        losses.append(loss())
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0] - 0.05
    assert all(p.grad is not None for p in refiner.model.vision_encoder.parameters())
    refiner.model.save_pretrained(tmp_path)
    again = HFSAMRefiner(pretrained=str(tmp_path), prompts=('mask', 'box')).eval()
    image, _, coarse = batch[0]
    with torch.no_grad():
        torch.testing.assert_close(again(image, coarse), refiner.eval()(image, coarse), atol=1e-5, rtol=0)
