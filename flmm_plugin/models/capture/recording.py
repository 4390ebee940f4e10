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

#: Tokens of a pass for which it does not pay to leave work of the last layer out, by kind of device: a GPU has it done
#: before the host has said what is left out.
FEW = {'cuda': 1024}


@contextmanager
def record_outputs(
    model: Any,
    decoder: Any,
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
        decoder: the stack of its language model's layers.
        samples: the batch, whole.
        cached: how many tokens the forward pass leaves out at the beginning, because it has their keys and values.
        all_tokens: keep the hidden states of every token that passes, not of the phrases' alone.
        heads, unmasked, masks: see :func:`select_attention`.
    """
    config, device = decoder.config, model.device
    outputs: list[LMMOutputs] = []
    selections = [select_phrases(sample) for sample in samples]
    kept = [one.rows for one in selections]
    if all_tokens:
        kept = [torch.arange(cached, len(sample.input_ids)) for sample in samples]
    length = max(len(sample.input_ids) for sample in samples) - cached
    places = torch.cat([rows - cached + index * length for index, rows in enumerate(kept)])
    places = places.to(device, non_blocking=True)
    read_alone = not all_tokens and len(places) > 0 and length * len(samples) > FEW.get(device.type, 0)
    with (
        select_attention(
            selections,
            config.num_hidden_layers,
            config.num_attention_heads,
            heads=heads,
            unmasked=unmasked,
            read_alone=read_alone,
            layers=attention_layers(config),
            masks=masks,
            device=device,
        ) as attention,
        record_hidden_states(model, decoder, places, waits=not all_tokens) as hidden_states,
        skip_unread_rows(decoder, places) if read_alone else nullcontext(),
    ):
        yield outputs
    states = hidden_states.kept.split([len(rows) for rows in kept], dim=1)
    outputs += [
        LMMOutputs(
            attention_maps=stack_grids(attention.maps(index), sample),
            hidden_states=states[index].contiguous(),  # of a batch each its own: a view would keep all of them
            phrase_ids=sample.phrase_ids[kept[index]],
        )
        for index, sample in enumerate(samples)
    ]


def select_phrases(sample: LMMInputs) -> AttentionSelection:
    """What is kept of a sample's attention, on the host: a whole batch is moved at once."""
    rows = sample.phrase_rows
    columns = torch.cat([grid.columns for grid in sample.grids])
    return AttentionSelection(rows, sample.phrase_ids[rows], columns, sample.num_phrases)


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
