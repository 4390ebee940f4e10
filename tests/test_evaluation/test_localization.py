"""Heads ranked by their maps alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from flmm_plugin.errors import UserError
from flmm_plugin.evaluation.localization import knee, rank_without_masks, spatial_entropy


def sample(seed: int = 0) -> torch.Tensor:
    """Two phrases at different places, six heads: 0 to 3 noise, 4 shows the places, 5 the same place always."""
    maps = 0.2 * torch.rand(2, 6, 10, 10, generator=torch.Generator().manual_seed(seed))
    maps[0, 4, 1:4, 1:4] += 1
    maps[1, 4, 6:9, 6:9] += 1
    maps[:, 5, 4:6, 4:6] += 1
    return maps


def test_contrast_finds_the_head_that_tells_phrases_apart() -> None:
    heads, scores = rank_without_masks([sample(seed) for seed in range(3)], 'contrast')
    assert heads[0] == 4 and scores[0] > 0.5 and scores == sorted(scores, reverse=True)
    # Of two grids of three heads, the second of which shows it, it is head 1.
    assert rank_without_masks([sample()], 'contrast', num_grids=2)[0][0] == 1
    with pytest.raises(UserError, match='two phrases'):
        rank_without_masks([sample()[:1]], 'contrast')


def test_entropy_is_that_of_connected_parts() -> None:
    values = np.zeros((8, 8))
    values[1:3, 1:3] = 1
    assert spatial_entropy(values) == 0
    values[5:7, 5:7] = 1
    assert abs(spatial_entropy(values) - np.log(2)) < 1e-9
    assert spatial_entropy(np.zeros((4, 4))) == float('inf')


def test_localization_leaves_out_heads_that_do_not_look() -> None:
    """Of 24 heads that each show one spot, those that hardly attend to the image come last."""
    maps = torch.zeros(1, 24, 8, 8)
    maps[0, :, 2:4, 2:4] = 1
    maps[0, :12] *= 0.001
    heads, _ = rank_without_masks([maps], 'localization')
    assert min(heads[:10]) >= 12
    assert knee(torch.tensor([0.0, 0.0, 0.0, 0.9, 1.0])) == 0.0
