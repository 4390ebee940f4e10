"""What grounding keeps of a forward pass: attention of phrases to the image, and hidden states.

Shape shorthand: N tokens, P phrases, L layers, H heads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from flmm_plugin.models.capture.attention import AttentionSelection, select_attention
from flmm_plugin.models.capture.hidden_states import record_hidden_states
from flmm_plugin.models.capture.last_layer import skip_unread_rows
from flmm_plugin.models.capture.layers import attention_layers
from flmm_plugin.structures import LMMInputs, LMMOutputs


@contextmanager
def record_outputs(
    model: Any,
    samples: Sequence[LMMInputs],
    *,
    cached: int = 0,
    all_tokens: bool = False,
    heads: Mapping[int, Tensor] | None = None,
    unmasked: bool = False,
    masks: Sequence[Tensor] | None = None,
) -> Iterator[list[LMMOutputs]]:
    """Fill the list with what the forward pass inside the block shows, once it is over.

    Args:
        model: an LMM of transformers.
        samples: the batch, whole.
        cached: how many tokens the forward pass leaves out at the beginning, because it has their keys and values.
        all_tokens: keep the hidden states of every token that passes, not of the phrases' alone.
        heads, unmasked, masks: see :func:`select_attention`.
    """
    config, device = model.config.get_text_config(), model.device
    outputs: list[LMMOutputs] = []
    selections = [
        AttentionSelection(
            rows=sample.phrase_rows.to(device, non_blocking=True),
            phrases=sample.phrase_ids[sample.phrase_rows].to(device, non_blocking=True),
            columns=torch.cat([grid.columns for grid in sample.grids]).to(device, non_blocking=True),
            num_phrases=sample.num_phrases,
        )
        for sample in samples
    ]
    kept = [torch.arange(cached, len(s.input_ids)) if all_tokens else s.phrase_rows for s in samples]
    rows = [(positions - cached).to(device, non_blocking=True) for positions in kept]
    read = None if all_tokens else rows
    if heads is not None:
        heads = {layer: own.to(device, non_blocking=True) for layer, own in heads.items()}
    with (
        select_attention(
            selections,
            config.num_hidden_layers,
            config.num_attention_heads,
            heads=heads,
            unmasked=unmasked,
            read=read,
            layers=attention_layers(config),
            masks=None if masks is None else [mask.to(device, non_blocking=True) for mask in masks],
        ) as attention,
        record_hidden_states(model, config, rows) as hidden_states,
        nullcontext() if read is None else skip_unread_rows(model, config, read),
    ):
        yield outputs
    outputs += [
        LMMOutputs(
            attention_maps=stack_grids(attention.maps(index), sample),
            hidden_states=hidden_states.stacked(index),
            phrase_ids=sample.phrase_ids[kept[index]],
        )
        for index, sample in enumerate(samples)
    ]


def stack_grids(maps: Tensor, sample: LMMInputs) -> Tensor:
    """Split (P, heads, columns) attention by grid and stack the grids as channels at the finest grid's size."""
    size = (sample.finest_grid.height, sample.finest_grid.width)
    stacked = []
    for grid, columns in zip(
        sample.grids, maps.split([len(grid.columns) for grid in sample.grids], dim=-1), strict=True
    ):
        channels = columns.unflatten(-1, (grid.height, grid.width))
        if (grid.height, grid.width) != size:
            channels = F.interpolate(channels, size=size, mode='bilinear')
        stacked.append(channels)
    return torch.cat(stacked, dim=1)
