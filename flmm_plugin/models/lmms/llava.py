"""LLaVA-1.5, and every small model built with its classes."""

from __future__ import annotations

import torch
from torch import Tensor

from flmm_plugin.models.lmms.base import FrozenLMM
from flmm_plugin.models.lmms.images import normalize, pad_to_square
from flmm_plugin.registry import MODELS
from flmm_plugin.resampling import resize_bicubic
from flmm_plugin.structures import ImageGrid, ImageInputs


@MODELS.register_module()
class LlavaLMM(FrozenLMM):
    """``LlavaForConditionalGeneration`` with the preprocessing F-LMM was trained with.

    Unlike the model's own processor it crops nothing: the whole picture is resized into the square and padded with
    the mean colour.
    """

    def preprocess(self, image: Tensor) -> ImageInputs:
        vision = self.config.vision_config
        processor = self.processor.image_processor
        height, width = image.shape[1:]
        side = vision.image_size
        longest = max(height, width)
        size = (max(int(height * side / longest), 1), max(int(width * side / longest), 1))
        padded, region = pad_to_square(resize_bicubic(image, size), processor.image_mean)
        pixels = normalize(padded, processor.image_mean, processor.image_std)

        grid = side // vision.patch_size
        # Under the "full" strategy CLIP's class token comes before the patches.
        lead = int(self.config.vision_feature_select_strategy == 'full' and vision.model_type == 'clip_vision_model')
        columns = torch.arange(grid * grid) + lead
        return ImageInputs(
            vision={'pixel_values': pixels[None]},
            num_tokens=grid * grid + lead,
            grids=(ImageGrid(columns, grid, grid, region),),
            target_size=size,
        )
