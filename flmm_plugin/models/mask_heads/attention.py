"""Masks straight from attention maps: a mask head with nothing to train.

Shape shorthand: P phrases of one image, C maps of each (heads of all layers, for each grid), (h, w) their size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flmm_plugin.registry import MODELS

#: Of an even map's cell: a head that leaves a cell out entirely does not rule it out.
FLOOR = 0.02
RULES = ('mean', 'otsu', 'spread')


@MODELS.register_module()
class AttentionMaskHead(nn.Module):
    """Attention maps (P, C, h, w) of one image -> mask logits (P, H, W), positive where the attention is high.

    Maps are divided by their sums, averaged over heads (the geometric mean: what is high in one head alone counts for
    little), lessened by what the image's other phrases attend to, smoothed, enlarged, lessened by their median, which
    is no thing's, and divided by their maximum; the mask is what lies above a threshold. The defaults are those that
    were best on training scenes, see docs/untrained.md. Which heads take part is the LMM's ``heads``.

    Args:
        in_channels: C, of no consequence here.
        threshold: a share of the maximum, or a rule by each map's own values: ``'spread'`` (:func:`by_spread`),
            ``'mean'`` or ``'otsu'``.
        sigma: of the Gaussian that smooths, in cells of the maps.
        contrast: what share of the other phrases' mean map is taken off; nothing where there is but one phrase.
        slope: logits for a whole maximum above the threshold.
        upsample_input: side to which the maps' longer side is enlarged, as :class:`UNetMaskHead` does.
    """

    #: Nothing of a model with this head is trained, nor loaded from a checkpoint.
    trained = False
    #: It reads an image's phrases together, and no padding.
    by_image = True

    def __init__(
        self,
        *,
        in_channels: int = 0,
        threshold: float | str = 'spread',
        sigma: float = 1.0,
        contrast: float = 0.5,
        slope: float = 10.0,
        upsample_input: int = 64,
    ) -> None:
        super().__init__()
        if threshold not in RULES and not (isinstance(threshold, (int, float)) and 0 < threshold < 1):
            raise ValueError(f'threshold must be one of {RULES} or a share between 0 and 1, got {threshold!r}')
        self.threshold, self.sigma, self.contrast = threshold, sigma, contrast
        self.slope, self.upsample_input = slope, upsample_input

    @torch.no_grad()
    def forward(self, maps: Tensor) -> Tensor:
        x = maps.float()
        x = geometric_mean(x / x.sum(dim=(2, 3), keepdim=True).clamp(min=1e-12))
        if len(x) > 1:
            others = (x.sum(dim=0) - x) / (len(x) - 1)
            x = (x - self.contrast * others).clamp(min=0)
        x = smooth(x, self.sigma)[:, None]
        factor = max(1.0, self.upsample_input / max(x.shape[-2:]))
        x = F.interpolate(x, scale_factor=factor, mode='bilinear')[:, 0]
        x = (x - x.flatten(1).median(dim=1).values[:, None, None]).clamp(min=0)
        x = x / x.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
        return self.slope * (x - self.thresholds(x)[:, None, None])

    def thresholds(self, maps: Tensor) -> Tensor:
        """(P,) of maps (P, H, W) whose maximum is 1."""
        if self.threshold == 'mean':
            return maps.mean(dim=(1, 2))
        if self.threshold == 'otsu':
            return otsu(maps)
        if self.threshold == 'spread':
            return by_spread(maps)
        return maps.new_full((len(maps),), float(self.threshold))


def geometric_mean(maps: Tensor) -> Tensor:
    """(P, h, w) of maps (P, C, h, w) that sum to 1; with :data:`FLOOR` added to each cell and taken off again."""
    floor = FLOOR / (maps.shape[-2] * maps.shape[-1])
    return ((maps + floor).log().mean(dim=1).exp() - floor).clamp(min=0)


def smooth(maps: Tensor, sigma: float) -> Tensor:
    """Gaussian of maps (P, h, w), edges repeated."""
    if sigma <= 0:
        return maps
    radius = max(1, round(4 * sigma))
    steps = torch.arange(-radius, radius + 1, device=maps.device, dtype=maps.dtype)
    kernel = torch.exp(-(steps**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    x = F.pad(maps[:, None], (radius, radius, radius, radius), mode='replicate')
    return F.conv2d(F.conv2d(x, kernel[None, None, None, :]), kernel[None, None, :, None])[:, 0]


def by_spread(maps: Tensor) -> Tensor:
    """The threshold (P,) of maps (P, H, W) whose maximum is 1: low for what is spread, such as grass, high for a spot.

    The mean over a large region is far below its highest cell, that over a thing is not.
    """
    return (0.85 - 5 * (maps > 0.5).float().mean(dim=(1, 2))).clamp(0.25, 0.7)


def otsu(maps: Tensor, bins: int = 64) -> Tensor:
    """The threshold (P,) that parts the values of each map (P, H, W) in [0, 1] best, by their variances (Otsu 1979)."""
    levels = (maps.flatten(1) * bins).long().clamp(max=bins - 1)
    counts = torch.zeros(len(maps), bins, device=maps.device).scatter_add_(1, levels, torch.ones_like(maps.flatten(1)))
    centers = (torch.arange(bins, device=maps.device) + 0.5) / bins
    below = counts.cumsum(dim=1)
    above = below[:, -1:] - below
    sums = (counts * centers).cumsum(dim=1)
    gap = sums / below.clamp(min=1) - (sums[:, -1:] - sums) / above.clamp(min=1)
    best = (below * above * gap**2).argmax(dim=1)
    return (best + 1) / bins
