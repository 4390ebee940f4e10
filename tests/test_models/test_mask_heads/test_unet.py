from __future__ import annotations

import pytest
import torch

from flmm_plugin.models.mask_heads import UNetMaskHead


@pytest.mark.parametrize(('grid', 'size'), [((12, 12), (16, 16)), ((6, 8), (12, 16)), ((20, 30), (20, 30))])
def test_longer_side_is_enlarged_and_never_shrunk(grid: tuple[int, int], size: tuple[int, int]) -> None:
    head = UNetMaskHead(in_channels=5, base_channels=4, num_stages=3, upsample_input=16)
    assert head(torch.rand(2, 5, *grid)).shape == (2, *size)


def test_maps_are_normalised_by_their_sum() -> None:
    head = UNetMaskHead(in_channels=3, base_channels=4, num_stages=2, upsample_input=8)
    maps = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(head(maps), head(maps * torch.tensor([0.5, 2.0, 9.0])[:, None, None]))
    assert torch.isfinite(head(torch.zeros(1, 3, 8, 8))).all()


def test_phrases_do_not_influence_each_other() -> None:
    head = UNetMaskHead(in_channels=3, base_channels=4, num_stages=2, upsample_input=8)
    maps = torch.rand(3, 3, 8, 8)
    torch.testing.assert_close(head(maps)[1:2], head(maps[1:2]))


def test_parameters_have_the_names_of_the_authors_checkpoints() -> None:
    shapes = {name: tuple(p.shape) for name, p in UNetMaskHead(in_channels=12, base_channels=8).named_parameters()}
    assert shapes['encoder.0.0.convs.0.conv.weight'] == (8, 12, 3, 3)
    assert shapes['encoder.3.1.convs.1.gn.bias'] == (64,)
    assert shapes['decoder.2.conv_block.convs.0.conv.weight'] == (32, 64, 3, 3)
    assert shapes['decoder.0.upsample.interp_upsample.1.conv.weight'] == (8, 16, 1, 1)
    assert shapes['conv_seg.weight'] == (1, 8, 1, 1)
    assert not any('conv.bias' in name for name in shapes)
