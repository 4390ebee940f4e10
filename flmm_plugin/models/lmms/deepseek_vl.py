"""DeepSeek-VL: 1.3B with SigLIP alone, 7B with SigLIP and a SAM encoder side by side (transformers >= 4.54)."""

from __future__ import annotations

import torch
from torch import Tensor

from flmm_plugin.models.lmms.base import FrozenLMM
from flmm_plugin.models.lmms.images import normalize, pad_to_square
from flmm_plugin.registry import MODELS
from flmm_plugin.resampling import resize_bicubic
from flmm_plugin.structures import ImageGrid, ImageInputs, size_of


@MODELS.register_module()
class DeepseekVLLMM(FrozenLMM):
    """``DeepseekVLForConditionalGeneration`` and ``DeepseekVLHybridForConditionalGeneration``.

    The hybrid sees the padded picture at a high and a low resolution, and joins the two on one grid of tokens.
    """

    def render(self, prompt: str) -> str:
        """The turn alone: the authors leave out the system prompt that the chat template begins with."""
        image = self.processor.tokenizer.convert_ids_to_tokens(self.image_token_id)
        return f'User: {image}{prompt}\n\nAssistant:'

    def preprocess(self, image: Tensor) -> ImageInputs:
        processor = self.processor.image_processor
        low = processor.size['height']
        high = getattr(processor, 'high_res_size', None)
        side = low if high is None else high['height']
        longest = max(size_of(image))
        height, width = (max(int(length / longest * side), processor.min_size) for length in size_of(image))
        padded, region = pad_to_square(resize_bicubic(image, (height, width)), processor.image_mean)
        vision = {}
        if high is not None:
            pixels = normalize(padded, processor.high_res_image_mean, processor.high_res_image_std)
            vision['high_res_pixel_values'] = pixels[None]
            padded = resize_bicubic(padded, (low, low))
        vision['pixel_values'] = normalize(padded, processor.image_mean, processor.image_std)[None]

        grid = self.config.vision_config.image_size // self.config.vision_config.patch_size
        columns = torch.arange(grid * grid)
        return ImageInputs(vision, len(columns), (ImageGrid(columns, grid, grid, region),), (height, width))
