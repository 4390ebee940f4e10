"""Which prompts suit a segmenter that was never shown attention: MobileSAM on real pictures, where they are at hand.

The coarse mask is the truth on 16 x 16 cells, blurred, as attention is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from flmm_plugin.apis.untrained import PROMPTS
from flmm_plugin.models.mask_heads.attention import AttentionMaskHead, smooth
from flmm_plugin.models.refiners import SAMRefiner
from tests.test_models.test_refiners.test_mobile_sam import WEIGHTS, ious, pictures

#: By name: what the refiner is given.
WAYS: dict[str, dict[str, Any]] = {
    'box': dict(prompts=('box',)),
    'mask, box': dict(prompts=('mask', 'box')),
    'mask, box, points': dict(prompts=('mask', 'box', 'points')),
    'box, 3 masks': dict(prompts=('box',), multimask_output=True),
    'box, 3 levels, 3 masks': PROMPTS,
}


def like_attention(masks: Tensor, sigma: float = 1.0) -> Tensor:
    """Maps (P, 1, 16, 16) of masks (P, H, W), each of which sums to one."""
    cells = smooth(F.adaptive_avg_pool2d(masks.float(), 16), sigma)
    return (cells / cells.sum(dim=(1, 2), keepdim=True))[:, None]


@torch.no_grad()
def compare(root: Path, most: int) -> dict[str, float]:
    """Mean IoU by way, of at most so many masks, each alone, landscapes and portraits in turn."""
    head, refiner = AttentionMaskHead(), SAMRefiner(arch='vit_t', checkpoint=str(WEIGHTS)).eval()
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    both = zip(pictures(root, 'landscape'), pictures(root, 'portrait'), strict=False)
    for image, masks in (picture for pair in both for picture in pair):
        if len(found['box']) >= most:
            break
        logits = torch.cat([head(like_attention(mask[None])) for mask in masks])
        features = refiner.encode_images([image])
        for name, options in WAYS.items():
            refiner.prompts, refiner.levels = options['prompts'], options.get('levels', (0.0,))
            refiner.multimask_output = options.get('multimask_output', False)
            found[name] += ious(refiner.refine([image], features, [logits])[0][0] > 0, masks)
    return {name: float(np.mean(values)) for name, values in found.items()}


@pytest.mark.slow
def test_chosen_prompts_beat_the_box_alone(real_coco: Path) -> None:
    """Those of an untrained model: 0.038 better than one mask of the box alone, as measured."""
    pytest.importorskip('timm')
    if not WEIGHTS.is_file():
        pytest.skip(f'no weights at {WEIGHTS}')
    found = compare(real_coco, 40)
    print('\n'.join(f'{name:20} {value:.4f}' for name, value in found.items()))
    assert found['box, 3 levels, 3 masks'] > found['box'] + 0.02
