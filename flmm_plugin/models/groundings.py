"""What grounding gives for one image, and what of it is shown.

Shape shorthand: P phrases, C attention maps, (h, w) attention grid, (H, W) image size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor

from flmm_plugin.errors import naming
from flmm_plugin.models.lmms.base import FrozenLMM
from flmm_plugin.models.mask_heads.batching import crop
from flmm_plugin.models.refiners.boxes import upsample_masks
from flmm_plugin.structures import ImageGrid, LMMInputs, LMMOutputs, size_of


@dataclass(frozen=True)
class Grounding:
    """Logits of one sample: ``coarse`` (P, h, w); with a refiner also ``refined`` (P, H, W) and ``scores`` (P,).

    ``things``: where they were asked for, of each phrase bool masks (K, H, W) and scores (K,) of its things.
    """

    coarse: Tensor
    refined: Tensor | None
    scores: Tensor | None
    things: tuple[tuple[Tensor, Tensor], ...] | None = None


def prepare_sample(lmm: FrozenLMM, image: Tensor, sample: BaseDataElement) -> LMMInputs:
    """A sample's text, tokenised or not, and its image (3, H, W); errors name the sample."""
    with naming(f'sample {sample.get("sample_id", "without a name")}'):
        if 'input_ids' in sample:
            return lmm.prepare_tokens(image, sample.input_ids, sample.phrase_ids, sample.get('branch_ids'))
        return lmm.prepare(image, sample.prompt, sample.segments, sample.get('begin', ''))


def refine_masks(
    refiner: Any,
    images: Sequence[Tensor],
    features: Sequence[Any] | None,
    coarse: Sequence[Tensor],
    texts: Sequence[Sequence[Tensor]] | None,
) -> list[Grounding]:
    """The groundings of several images (3, H, W) by their coarse logits (P, h, w).

    ``features``: of the refiner's ``encode_images``; ``refiner`` and they may be None, and ``texts`` where it has none.
    """
    if refiner is None or features is None:
        return [Grounding(logits, None, None) for logits in coarse]
    refined = refiner.refine(images, features, coarse, texts)
    return [Grounding(logits, *results) for logits, results in zip(coarse, refined, strict=True)]


def to_instances(grounding: Grounding, size: tuple[int, int]) -> InstanceData:
    """Bool masks at image size and a score each: SAM's predicted IoU, or the mean probability inside the mask."""
    coarse = upsample_masks(grounding.coarse, size)
    if grounding.refined is not None:
        return InstanceData(masks=grounding.refined > 0, scores=grounding.scores, coarse_masks=coarse)
    probabilities = grounding.coarse.float().sigmoid()
    inside = probabilities > 0.5
    scores = (probabilities * inside).sum(dim=(1, 2)) / inside.sum(dim=(1, 2)).clamp(min=1)
    return InstanceData(masks=coarse, scores=scores, coarse_masks=coarse.clone())


def write_predictions(
    sample: BaseDataElement,
    image: Tensor,
    lmm_inputs: LMMInputs,
    lmm_outputs: LMMOutputs,
    grounding: Grounding,
    phrases: list[str] | None,
) -> None:
    """Set ``pred_instances`` and ``attention_maps`` of a sample, see :meth:`FLMM.predict`."""
    sample.pred_instances = to_instances(grounding, size_of(image))
    sample.pred_instances.labels = torch.arange(lmm_inputs.num_phrases)
    if phrases is not None:
        sample.pred_instances.phrases = sample.pred_instances.label_names = phrases
    maps = crop(lmm_outputs.attention_maps.mean(dim=1), lmm_inputs.finest_grid.region)
    sample.set_field(maps, 'attention_maps', dtype=Tensor)


def phrase_texts(sample: BaseDataElement, count: int) -> list[str] | None:
    """The phrases' texts, from the truth or else from the segments; None where the sample has only tokens."""
    if 'gt_instances' in sample and 'phrases' in sample.gt_instances:
        return list(sample.gt_instances.phrases)
    if 'segments' not in sample:
        return None
    return [' '.join(s.text.strip() for s in sample.segments if s.phrase == phrase) for phrase in range(count)]


def image_attention(maps: Tensor, grids: Sequence[ImageGrid]) -> Tensor:
    """The share of each phrase's attention that goes to the image, averaged over layers and heads: (P,).

    Args:
        maps: (P, C, h, w) softmaxed attention, the grids stacked along C and resized to the finest of them.
    """
    parts = maps.mean(dim=(2, 3)).chunk(len(grids), dim=1)
    # Resizing keeps the mean of a map, not its sum.
    return sum(
        (part.mean(dim=1) * grid.height * grid.width for part, grid in zip(parts, grids, strict=True)),
        start=torch.zeros(len(maps), device=maps.device),
    )
