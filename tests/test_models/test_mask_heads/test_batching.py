from __future__ import annotations

import torch
from torch import Tensor

from flmm_plugin.models.mask_heads import UNetMaskHead
from flmm_plugin.models.mask_heads.batching import apply_by_size

SIZES = [(6, 8), (8, 6), (6, 8), (5, 5)]


def test_maps_of_one_size_share_a_call() -> None:
    torch.manual_seed(0)
    head = UNetMaskHead(in_channels=3, base_channels=4, num_stages=2, upsample_input=8).eval()
    maps = [torch.rand(count, 3, *size) for count, size in enumerate(SIZES, start=1)]
    calls: list[int] = []

    def count_phrases(module: torch.nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        calls.append(len(inputs[0]))

    head.register_forward_hook(count_phrases)
    together = apply_by_size(head, maps)
    assert sorted(calls) == [2, 4, 4]  # phrases 1 + 3 of the first size
    for one, logits in zip(maps, together, strict=True):
        torch.testing.assert_close(logits, head(one))
