"""MobileSAM's released weights on real pictures, where the machine has them; they are no part of this repository."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from pycocotools.coco import COCO
from torch import Tensor

from flmm_plugin.models.refiners import SAMRefiner
from flmm_plugin.models.refiners.boxes import upsample_masks
from tests.conftest import REAL

WEIGHTS = REAL / 'sam' / 'mobile_sam.pt'


@pytest.fixture(scope='module')
def mobile_sam(real_coco: Path) -> SAMRefiner:
    pytest.importorskip('timm')
    if not WEIGHTS.is_file():
        pytest.skip(f'no weights at {WEIGHTS}')
    return SAMRefiner(arch='vit_t', checkpoint=str(WEIGHTS), prompts=('mask', 'box')).eval()


def pictures(root: Path, orientation: str) -> list[tuple[Tensor, Tensor]]:
    """Pictures of one orientation with their two largest masks, those of more than a hundredth of the picture."""
    file = root / 'annotations' / 'instances_val2017.json'
    annotations: dict[int, list[dict[str, Any]]] = defaultdict(list)
    content = json.loads(file.read_text())
    for annotation in content['annotations']:
        annotations[annotation['image_id']].append(annotation)
    coco = COCO(file)
    found = []
    for info in sorted(content['images'], key=lambda info: info['id']):
        height, width = info['height'], info['width']
        large = [a for a in annotations[info['id']] if not a['iscrowd'] and a['area'] > 0.01 * height * width]
        if (height > width) == (orientation == 'portrait') and large:
            largest = sorted(large, key=lambda a: -a['area'])[:2]
            masks = torch.from_numpy(np.stack([coco.annToMask(annotation) for annotation in largest])) > 0
            picture = np.array(Image.open(root / 'val2017' / info['file_name']).convert('RGB'))
            found.append((torch.from_numpy(picture).permute(2, 0, 1), masks))
    return found


@torch.no_grad()
def refine_coarse(refiner: SAMRefiner, image: Tensor, masks: Tensor) -> tuple[list[float], list[float]]:
    """IoU of the truth on 16 x 16 cells, every cell that it touches filled, before and after refinement."""
    logits = F.adaptive_max_pool2d(masks.float(), 16) * 20 - 10
    refined, scores = refiner(image, logits)
    assert ((scores > 0) & (scores < 1.1)).all()
    return ious(upsample_masks(logits, tuple(image.shape[1:])), masks), ious(refined > 0, masks)


def ious(masks: Tensor, truth: Tensor) -> list[float]:
    return ((masks & truth).sum((1, 2)) / (masks | truth).sum((1, 2))).tolist()


@pytest.mark.parametrize('orientation', ['landscape', 'portrait'])
def test_refines_a_coarse_mask(mobile_sam: SAMRefiner, real_coco: Path, orientation: str) -> None:
    image, masks = pictures(real_coco, orientation)[0]
    coarse, refined = refine_coarse(mobile_sam, image, masks)
    assert np.mean(refined) > np.mean(coarse) + 0.15


@pytest.mark.slow
def test_refines_most_coarse_masks(mobile_sam: SAMRefiner, real_coco: Path) -> None:
    """Measured: 0.58 before, 0.84 after."""
    coarse: list[float] = []
    refined: list[float] = []
    for orientation in ('portrait', 'landscape'):
        before: list[float] = []
        after: list[float] = []
        for image, masks in pictures(real_coco, orientation)[:12]:
            results = refine_coarse(mobile_sam, image, masks)
            before, after = before + results[0], after + results[1]
        assert np.mean(after) > np.mean(before) + 0.15, orientation
        coarse, refined = coarse + before, refined + after
    assert len(coarse) >= 35
    assert np.mean(coarse) < 0.65
    assert np.mean(refined) >= 0.73
