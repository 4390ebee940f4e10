"""Which attention heads show where phrases are, judged by the maps alone: no mask is needed.

Shape shorthand: P phrases of one image, C maps of each (heads of all layers, for each grid), (h, w) attention grid.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from scipy.ndimage import label
from torch import Tensor

from flmm_plugin.errors import UserError
from flmm_plugin.models.groundings import phrase_texts
from flmm_plugin.models.mask_heads.batching import crop

CRITERIA = ('localization', 'contrast')
FEWEST = 10  # heads of least entropy that a phrase votes for


@dataclass(frozen=True)
class PhraseMaps:
    """Of a uint8 image (3, H, W) the maps (P, C, h, w) fp32 of its phrases, over the image alone."""

    image: Tensor
    phrases: Sequence[str]
    maps: Tensor


@torch.no_grad()
def maps_of_phrases(model: Any, dataset: Any, indices: Iterable[int]) -> Iterator[PhraseMaps]:
    """What the LMM makes of the samples of a data set."""
    for index in indices:
        batch = pseudo_collate([dataset[index]])
        prepared = model.prepare(batch['inputs'], batch['data_samples'])
        (outputs,) = model.lmm(prepared)
        maps = crop(outputs.attention_maps, prepared[0].finest_grid.region).float().cpu()
        phrases = phrase_texts(batch['data_samples'][0], len(maps)) or [''] * len(maps)
        yield PhraseMaps(batch['inputs'][0], phrases, maps)


def rank_without_masks(samples: Iterable[Tensor], criterion: str, num_grids: int = 1) -> tuple[list[int], list[float]]:
    """Heads from the best to the worst, and a score of each; a head with several grids counts as the best of its maps.

    ``'localization'``: how often a head is among the ten of least spatial entropy, of those that attend enough to the
    image (arXiv 2503.06287). ``'contrast'``: how much more a head's map of a phrase is like what all heads show of it
    than like what they show of the image's other phrases.

    Args:
        samples: of each image the maps (P, C, h, w).

    Raises:
        UserError: no image, or for ``'contrast'`` none with two phrases.
    """
    judge = contrasts if criterion == 'contrast' else entropies
    judged: list[Tensor] = []
    attended: list[Tensor] = []
    for maps in samples:
        if criterion != 'contrast' or len(maps) > 1:
            judged.append(judge(maps))
            attended.append(maps.sum(dim=(2, 3)))
    if not judged:
        needed = 'two phrases' if criterion == 'contrast' else 'a phrase'
        raise UserError(f'no image to judge heads by: {criterion!r} needs one at least whose caption has {needed}')
    scores = torch.cat(judged)
    if criterion == 'localization':
        sums = torch.cat(attended).mean(dim=0)
        scores = votes(scores, sums > knee(sums))
    scores = scores.mean(dim=0)
    best = scores.unflatten(0, (num_grids, -1)).amax(dim=0)
    values, heads = best.sort(descending=True, stable=True)
    return heads.tolist(), values.tolist()


def contrasts(maps: Tensor) -> Tensor:
    """(P, C): correlation of each map (P, C, h, w) with the mean map of its phrase, less that with the others'."""
    shares = maps / maps.sum(dim=(2, 3), keepdim=True).clamp(min=1e-12)
    correlations = torch.einsum('pcn,qn->pcq', centered(maps), centered(shares.mean(dim=1)))
    own = correlations.diagonal(dim1=0, dim2=2).T
    return own - (correlations.sum(dim=2) - own) / (len(maps) - 1)


def centered(maps: Tensor) -> Tensor:
    """Maps (..., h, w) as vectors of mean 0 and length 1."""
    flat = maps.flatten(-2)
    flat = flat - flat.mean(dim=-1, keepdim=True)
    return flat / flat.norm(dim=-1, keepdim=True).clamp(min=1e-12)


def entropies(maps: Tensor) -> Tensor:
    """(P, C): :func:`spatial_entropy` of each map (P, C, h, w)."""
    return torch.tensor([[spatial_entropy(one) for one in phrase] for phrase in maps.numpy()])


def votes(found: Tensor, looking: Tensor) -> Tensor:
    """(P, C): 1 for the :data:`FEWEST` heads of least entropy (P, C) of each phrase, of those that are ``looking``."""
    chosen = found.masked_fill(~looking, float('inf')).argsort(dim=1, stable=True)[:, :FEWEST]
    return torch.zeros_like(found).scatter_(1, chosen, 1.0) * looking


def spatial_entropy(values: np.ndarray) -> float:
    """Entropy of the shares that the connected parts of a map (h, w), above its mean, have of the attention there."""
    parts, number = label(values > values.mean(), structure=np.ones((3, 3)))
    sums = np.bincount(parts.ravel(), values.ravel())[1:]
    if not number or sums.sum() <= 0:
        return float('inf')
    shares = sums / sums.sum()
    return float(-(shares * np.log(shares)).sum())


def knee(values: Tensor) -> float:
    """Where the sorted values (C,) bend most: the one farthest below the line from the least to the largest."""
    ordered = values.sort().values
    line = torch.linspace(float(ordered[0]), float(ordered[-1]), len(ordered))
    return float(ordered[(line - ordered).argmax()])
