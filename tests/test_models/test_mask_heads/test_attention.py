"""Masks straight from attention maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.filters import threshold_otsu

from flmm_plugin.models.mask_heads import AttentionMaskHead
from flmm_plugin.models.mask_heads.attention import by_spread, otsu, smooth
from flmm_plugin.models.mask_heads.batching import coarse_logits
from flmm_plugin.structures import Region


def maps_of_two_phrases() -> torch.Tensor:
    """Two phrases, three heads: the first looks at the upper left, the second at the lower right; both at a corner."""
    maps = torch.full((2, 3, 12, 12), 0.001)
    maps[0, :, 2:5, 2:5] = 0.05
    maps[1, :, 8:11, 7:11] = 0.05
    maps[:, :, 0, 11] = 0.06
    return maps


def test_masks_lie_where_attention_is_and_the_others_is_not() -> None:
    masks = AttentionMaskHead(in_channels=3, contrast=1.0, sigma=0.7, threshold=0.6)(maps_of_two_phrases()) > 0
    assert masks.shape == (2, 64, 64)
    assert masks[0, 14:23, 14:23].all() and masks[1, 46:55, 42:55].all()
    assert not masks[0, 30:].any() and not masks[1, :30].any()  # the corner that both look at is in neither
    assert (AttentionMaskHead(contrast=0.0, sigma=0.7, threshold=0.3)(maps_of_two_phrases()) > 0)[:, 0, -1].all()


def test_a_phrase_alone_has_no_contrast_and_a_dark_map_no_mask() -> None:
    maps = maps_of_two_phrases()[:1]
    head = AttentionMaskHead()
    assert torch.equal(head(maps), AttentionMaskHead(contrast=0.0)(maps))
    assert not (head(torch.zeros(1, 3, 8, 8)) > 0).any()


def test_otsu_is_that_of_skimage() -> None:
    generator = np.random.default_rng(0)
    maps = np.clip(
        np.where(generator.random((3, 40, 40)) < 0.2, 0.75, 0.2) + generator.normal(0, 0.05, (3, 40, 40)), 0, 1
    )
    expected = [threshold_otsu(one, nbins=64) for one in maps]
    found = otsu(torch.from_numpy(maps).float())
    # Any threshold in the empty range between the two groups is as good.
    for one, ours, theirs in zip(maps, found, expected, strict=True):
        assert ((one > float(ours)) != (one > theirs)).mean() < 0.01


@pytest.mark.parametrize('rule', ['mean', 'otsu', 'spread', 0.4])
def test_rules_give_masks(rule: float | str) -> None:
    masks = AttentionMaskHead(threshold=rule)(maps_of_two_phrases()) > 0
    assert masks.flatten(1).any(1).all() and not masks.flatten(1).all(1).any()


def test_what_is_spread_is_cut_lower() -> None:
    spot, region = torch.zeros(2, 1, 14, 14)
    spot[0, 4:7, 4:7] = 1
    region[0, 7:] = torch.rand(7, 14, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.5
    thresholds = by_spread(torch.cat([spot, region / region.max()]))
    assert thresholds[0] > 0.6 and thresholds[1] == 0.25


def test_smoothing_keeps_what_there_is_of_attention() -> None:
    spot = torch.zeros(1, 15, 15)
    spot[0, 7, 7] = 1
    blurred = smooth(spot, 0.7)
    assert abs(blurred.sum() - 1) < 1e-5 and blurred.argmax() == spot.argmax() and blurred.max() < 0.5


def test_padding_is_left_out_before_maxima_are_looked_for() -> None:
    """The lower half of the maps shows padding, which has by far the most attention."""
    maps = torch.full((1, 2, 12, 12), 0.001)
    maps[:, :, 2:5, 2:5] = 0.05
    maps[:, :, 10] = 1.0
    region = Region(top=0, left=0, height=50, width=100, padded_height=100, padded_width=100)
    (logits,) = coarse_logits(AttentionMaskHead(), [maps], [region])
    assert logits.shape == (1, 32, 64)
    assert (logits > 0)[0, 12:24, 12:24].any() and not (logits > 0)[0, :, 40:].any()


def test_what_is_no_threshold_is_refused() -> None:
    for wrong in ('median', 0, 1.5):
        with pytest.raises(ValueError, match='threshold must be'):
            AttentionMaskHead(threshold=wrong)
