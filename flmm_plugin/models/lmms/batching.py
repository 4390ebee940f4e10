"""Samples of different lengths as one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from flmm_plugin.structures import LMMInputs

#: Tokens x hidden width of the samples that are read together on a CPU. Activations that its cache does not hold cost
#: more than batching saves: 8 samples of 700 tokens and width 1024 took a fifth longer together than one by one.
CPU_BATCH_VALUES = 2**20

#: Arguments that tell an LMM which pixels are an image's own, so that images of several sizes go together.
TELLING = ('image_sizes', 'pixel_attention_mask')
#: Arguments that count patches over all images of a batch, or tell the lengths of images in one row of patches.
ALONE = ('image_token_pooling', 'target_sizes')


def split_batch(samples: Sequence[LMMInputs], width: int, device: torch.device) -> list[Sequence[LMMInputs]]:
    """The samples that are read together: all of them, but on a CPU as many as its cache holds, at least one.

    Images that would have to be padded without the LMM's knowing are read one by one.
    """
    if not go_together([sample.vision for sample in samples]):
        return [[sample] for sample in samples]
    if device.type != 'cpu':
        return [samples]
    longest = max(len(sample.input_ids) for sample in samples)
    size = max(1, CPU_BATCH_VALUES // (longest * width))
    return [samples[start : start + size] for start in range(0, len(samples), size)]


def go_together(visions: Sequence[Mapping[str, Tensor]]) -> bool:
    """Are the vision inputs of images joined along their first axis alone, or padded where the LMM is told so?"""
    first = visions[0]
    if any(name in first for name in ALONE):
        return False
    same = all(own[name].shape[1:] == first[name].shape[1:] for own in visions for name in first)
    return same or any(name in first for name in TELLING)


def pad_batch(samples: Sequence[LMMInputs], padding: int) -> dict[str, Tensor]:
    """``input_ids``, ``attention_mask`` (B, N), and what the adapter's ``vision`` names, images concatenated.

    Texts are padded on the right. The mask says so even where all tokens count: without one, some LMMs take
    multimodal positions for those of several texts in a row.
    """
    length = max(len(sample.input_ids) for sample in samples)
    ids = [F.pad(sample.input_ids, (0, length - len(sample.input_ids)), value=padding) for sample in samples]
    masks = [F.pad(torch.ones_like(own.input_ids), (0, length - len(own.input_ids))) for own in samples]
    batch = {'input_ids': torch.stack(ids), 'attention_mask': torch.stack(masks)}
    for name in samples[0].per_token:
        values = [sample.per_token[name][:length] for sample in samples]
        batch[name] = torch.stack([F.pad(value, (0, length - len(value))) for value in values])
    return batch | join_visions([sample.vision for sample in samples])


def join_visions(visions: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The vision inputs of images that go together, as those of all of them."""
    return {name: concatenate_padded([own[name] for own in visions]) for name in visions[0]}


def concatenate_padded(tensors: Sequence[Tensor]) -> Tensor:
    """Concatenate along the image axis; axes that differ (crops of an image, its sides) are padded with zeros."""
    largest = [max(sizes) for sizes in zip(*(tensor.shape for tensor in tensors), strict=True)]
    missing = [[most - own for most, own in zip(largest, tensor.shape, strict=True)] for tensor in tensors]
    padding = [[side for axis in reversed(short[1:]) for side in (0, axis)] for short in missing]
    return torch.cat([F.pad(tensor, around) for tensor, around in zip(tensors, padding, strict=True)])
