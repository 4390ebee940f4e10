"""Points as prompts: where a coarse mask is surest, and where in its box it is least so.

Shape shorthand: P phrases, (h, w) size of coarse logits, (H, W) image size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from flmm_plugin.boxes import mask_boxes
from flmm_plugin.models.refiners.resizing import Size

#: How far from the first maximum the second lies at least, as a share of the longer side.
APART = 0.125


def prompt_points(logits: Tensor, input_size: Size) -> tuple[Tensor, Tensor]:
    """Points of coarse masks in a segmenter's input.

    Of each phrase the place of the highest logit, of the highest above zero that is apart from it, and of the lowest
    in the box around the mask.

    Args:
        logits: (P, h, w) over the whole image.
        input_size: (height, width) of the image in the input.

    Returns:
        (P, 3, 2) fp32 x, y in pixels of the input, as segment-anything counts them (0 is the middle of the first), and
        (P, 3) int64 labels: 1 for what is inside, 0 outside, -1 for no point.
    """
    values = logits.detach().float()
    height, width = values.shape[-2:]
    rows = torch.arange(height, device=values.device)[:, None]
    columns = torch.arange(width, device=values.device)
    first = values.flatten(1).argmax(dim=1)
    distance = ((rows - (first // width)[:, None, None]) ** 2 + (columns - (first % width)[:, None, None]) ** 2).sqrt()
    far = values.masked_fill(distance < APART * max(height, width), -torch.inf)
    second_value, second = far.flatten(1).max(dim=1)
    x0, y0, x1, y1 = mask_boxes(values > 0)[:, :, None, None].unbind(dim=1)
    outside = (columns < x0) | (columns >= x1) | (rows < y0) | (rows >= y1)
    lowest_value, lowest = values.masked_fill(outside, torch.inf).flatten(1).min(dim=1)
    cells = torch.stack([first, second, lowest], dim=1)
    labels = torch.stack(
        [torch.ones_like(first), torch.where(second_value > 0, 1, -1), -(lowest_value > 0).long()], dim=1
    )
    x = (cells % width + 0.5) * (input_size[1] / width) - 0.5
    y = (cells // width + 0.5) * (input_size[0] / height) - 0.5
    return torch.stack([x, y], dim=2), labels
