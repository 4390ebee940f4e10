"""LLaVA-NeXT (LLaVA-1.6), whatever its text model."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.image_processing_utils import select_best_resolution
from transformers.models.llava_next.modeling_llava_next import unpad_image

from flmm_plugin.models.lmms.base import FrozenLMM
from flmm_plugin.models.lmms.images import normalize
from flmm_plugin.registry import MODELS
from flmm_plugin.resampling import resize_bicubic
from flmm_plugin.structures import ImageGrid, ImageInputs, size_of


@MODELS.register_module()
class LlavaNextLMM(FrozenLMM):
    """``LlavaNextForConditionalGeneration``, which sees an image twice.

    The coarse grid is the whole picture squashed into a square. The fine grid comes from crops of the picture enlarged
    to the best of the model's resolutions; the model drops the padding there and ends each row with a newline token.
    """

    num_grids = 2

    def preprocess(self, image: Tensor) -> ImageInputs:
        side, patch = self.config.vision_config.image_size, self.config.vision_config.patch_size
        processor = self.processor.image_processor
        original = size_of(image)
        best = select_best_resolution(original, self.config.image_grid_pinpoints)
        size = fit_inside(original, best)
        top, left = (best[0] - size[0]) // 2, (best[1] - size[1]) // 2
        padding = (left, best[1] - size[1] - left, top, best[0] - size[0] - top)
        large = F.pad(resize_bicubic(image, size), padding)
        crops = large.unfold(1, side, side).unfold(2, side, side).flatten(1, 2).transpose(0, 1)
        pixels = torch.cat([resize_bicubic(image, (side, side))[None], crops])
        pixels = normalize(pixels, processor.image_mean, processor.image_std)

        grid = side // patch
        # The model's own function decides which rows and columns of the fine grid survive.
        rows, cols = unpad_image(torch.empty(1, best[0] // patch, best[1] // patch), original).shape[1:]
        fine = torch.arange(rows * (cols + 1)).view(rows, cols + 1)[:, :-1].flatten() + grid * grid
        return ImageInputs(
            vision={'pixel_values': pixels[None], 'image_sizes': torch.tensor([original])},
            num_tokens=grid * grid + rows * (cols + 1),
            grids=(ImageGrid(torch.arange(grid * grid), grid, grid), ImageGrid(fine, rows, cols)),
            target_size=size,
        )


def fit_inside(size: tuple[int, int], bounds: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of the largest picture with the aspect of ``size`` inside ``bounds``, rounded up."""
    scale_h, scale_w = bounds[0] / size[0], bounds[1] / size[1]
    if scale_w < scale_h:
        return min(math.ceil(size[0] * scale_w), bounds[0]), bounds[1]
    return bounds[0], min(math.ceil(size[1] * scale_h), bounds[1])
