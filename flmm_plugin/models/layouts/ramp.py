"""What part of a picture each pixel shows that a processor hands to the model, measured with four pictures.

A picture that grows brighter from left to right, one from top to bottom, a black one and a white one: the last two say
how the processor scales each value, whatever it subtracts and in whatever order it keeps the channels, and where they
are the same it shows padding.

Shape shorthand: T tiles, (H, W) their size, P patches, V values of a patch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from flmm_plugin.models.layouts.errors import LayoutError

#: What a processor makes of an RGB picture: ``pixel_values`` among others.
Process = Callable[[Image.Image], Mapping[str, Tensor]]


@dataclass(frozen=True)
class Shown:
    """Places in the picture, 0 to 1 from its left and top edge; nan where padding is shown.

    ``x``, ``y``: (T, H, W) for pixels of tiles, or (T, P) for flat patches (P of the largest tile) of ``values``
    numbers each. What the processor tells of patches besides: ``rows`` of them, or ``pooling``, (n, k) int64 patches of
    each token, whose tokens make up ``grids`` of rows and columns.
    """

    x: Tensor
    y: Tensor
    values: int
    rows: int | None = None
    pooling: Tensor | None = None
    grids: tuple[tuple[int, int], ...] = ()

    @property
    def is_flat(self) -> bool:
        return self.x.ndim == 2


def measure(process: Process, size: tuple[int, int]) -> Shown:
    """What is shown of a picture of ``size`` (height, width)."""
    made = [process(picture) for picture in test_pictures(size)]
    black, white, right, down = (pixels(one) for one in made)
    if not black.shape == white.shape == right.shape == down.shape:
        raise LayoutError('pictures of one size become inputs of different sizes: their tokens have no fixed place')
    scale = white - black
    scale[scale.abs() < 1e-6] = torch.nan
    # The mean over the channels, or over all values of a patch; a value that is padding counts for nothing.
    axes = -3 if black.ndim == 4 else -1
    x, y = ((picture - black) / scale for picture in (right, down))
    return Shown(x.nanmean(axes), y.nanmean(axes), black.shape[-1], **told(made[0]))


def told(made: Mapping[str, Tensor]) -> dict[str, Any]:
    """What the processor says of the patches of its one picture."""
    if 'image_token_pooling' in made and 'image_grids' in made:
        return dict(pooling=made['image_token_pooling'].long(), grids=tuple(made['image_grids'].view(-1, 2).tolist()))
    return dict(rows=int(made['image_grid_thw'][0, 1])) if 'image_grid_thw' in made else {}


def test_pictures(size: tuple[int, int]) -> list[Image.Image]:
    """Black, white, brighter to the right, brighter to the bottom; of ``size`` (height, width)."""
    height, width = size
    right = np.broadcast_to((np.arange(width) + 0.5) / width, size)
    down = np.broadcast_to(((np.arange(height) + 0.5) / height)[:, None], size)
    planes = [np.zeros(size), np.ones(size), right, down]
    return [Image.fromarray((plane * 255).round().astype(np.uint8)).convert('RGB') for plane in planes]


def pixels(made: Mapping[str, Tensor]) -> Tensor:
    """(T, 3, H, W) or (T, P, V) fp64 of the one image, what a mask hides as nan."""
    name = next((name for name in made if name.startswith('pixel_values')), None)  # Video-LLaVA's: pixel_values_images
    if name is None:
        raise LayoutError(f'the processor hands the model {", ".join(made)} and no pixel_values to measure')
    values = made[name].double()
    mask = made.get('pixel_attention_mask')
    if values.ndim == 4 and 'image_grid_thw' in made:  # patches as pictures of their own
        values = values.flatten(1)
    if values.ndim == 4 and 'target_sizes' in made:  # patches of all tiles side by side, as one long picture
        patches = values[0].unflatten(-1, (-1, values.shape[-2])).permute(2, 0, 1, 3).flatten(1)
        tiles = patches.split(made['target_sizes'].long().prod(1).tolist())
        values = pad_sequence(tiles, batch_first=True, padding_value=torch.nan)
    if values.ndim == 2 or values.ndim == 5:  # flat patches of one image; tiles of a batch of one
        values = values[None] if values.ndim == 2 else values[0]
    if mask is not None and values.ndim == 3 and mask.shape == values.shape[:2]:
        values = values.masked_fill(mask[..., None] == 0, torch.nan)
    if values.ndim not in (3, 4):
        raise LayoutError(f'{name} of shape {tuple(made[name].shape)} are neither tiles nor patches')
    return values
