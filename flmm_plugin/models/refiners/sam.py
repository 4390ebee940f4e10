"""SAM as the refiner: coarse logits, their box and the phrase's text become its prompts (F-LMM section 3.3).

Shape shorthand: P phrases, N prompts of one, D prompt width, S input side of SAM, (H, W) image size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from flmm_plugin.assets import resolve
from flmm_plugin.models.caches.feature_cache import FeatureCache, Features
from flmm_plugin.models.refiners.base import PROMPTS, PromptedRefiner
from flmm_plugin.models.refiners.decoding import decode_prompts
from flmm_plugin.models.refiners.resizing import Size, fit_longest_side
from flmm_plugin.models.refiners.sam_arch import build_sam
from flmm_plugin.models.weights.checkpoints import read_tensors
from flmm_plugin.registry import MODELS
from flmm_plugin.resampling import resize_bilinear
from flmm_plugin.structures import size_of


@MODELS.register_module()
class SAMRefiner(PromptedRefiner):
    """Segment-anything with a frozen image encoder; prompt encoder and mask decoder are trained.

    Args:
        arch: see :func:`build_sam`.
        checkpoint: SAM's weights (.pth, .pt or .safetensors, or ``flmm_plugin::NAME``); None leaves them random.
        prompts, multimask_output, levels: see :class:`PromptedRefiner`.
        cache_size: images whose features are kept in evaluation, where one image comes with many expressions.
        feature_folder: where the features of all images are kept in fp16, for training of several epochs; they are
            found again by an image's content and the encoder's weights.
        exact_features: keep them there as they are, at twice the size.
    """

    def __init__(
        self,
        *,
        arch: str | Mapping[str, Any],
        checkpoint: str | None = None,
        prompts: Sequence[str] = PROMPTS,
        cache_size: int = 4,
        feature_folder: str | None = None,
        exact_features: bool = False,
        multimask_output: bool = False,
        levels: Sequence[float] = (0.0,),
    ) -> None:
        model = build_sam(arch)
        if checkpoint is not None:
            model.load_state_dict(read_tensors(resolve(checkpoint)))
        cache = FeatureCache(cache_size, feature_folder, exact_features)
        super().__init__(model, model.image_encoder, prompts, cache, multimask_output, levels)
        self.side = model.image_encoder.img_size
        self.mask_size = model.prompt_encoder.mask_input_size
        self.embed_dim = model.prompt_encoder.embed_dim

    @property
    def num_values(self) -> int:
        height, width = self.model.prompt_encoder.image_embedding_size
        return self.embed_dim * height * width

    def input_size(self, image: Tensor) -> Size:
        return fit_longest_side(size_of(image), self.side)

    def preprocess(self, image: Tensor) -> Tensor:
        """(1, 3, S, S) of a uint8 image (3, H, W)."""
        pixels = resize_bilinear(image, self.input_size(image))
        return self.model.preprocess(pixels.to(self.model.device, non_blocking=True)[None])

    def encode(self, images: Sequence[Tensor]) -> Features:
        """Features (B, D, S / patch, S / patch) of uint8 images (3, H, W)."""
        return (self.model.image_encoder(torch.cat([self.preprocess(image) for image in images])),)

    def encode_images(self, images: Sequence[Tensor]) -> list[Tensor]:
        """Features (1, D, S / patch, S / patch) of each image, its only map."""
        return [maps for (maps,) in super().encode_images(images)]

    def outside(self, logits: Tensor) -> Tensor:
        """As the authors have it: the lowest of all phrases of the image, ()."""
        return logits.detach().float().min().clamp(max=-1.0)

    def embed(
        self, boxes: Tensor | None, masks: Tensor | None, points: tuple[Tensor, Tensor] | None, count: int
    ) -> tuple[Tensor, Tensor]:
        """Dense (P, D, S / patch, S / patch) and sparse (P, N, D) embeddings."""
        sparse, dense = self.model.prompt_encoder(points=points, boxes=boxes, masks=masks)
        # The encoder takes the number of prompts from boxes or masks, and assumes one where there is neither.
        return dense.expand(count, -1, -1, -1), sparse.expand(count, -1, -1)

    def decode(
        self, features: Sequence[Tensor], dense: Tensor, prompts: Sequence[Tensor], part: Size | None = None
    ) -> tuple[Tensor, Tensor]:
        """Low-resolution logits (P, 1 or 3, 4r, 4c) and predicted IoU (P, 1 or 3) of the part (r, c)."""
        position = self.model.prompt_encoder.get_dense_pe()
        decoder, multimask = self.model.mask_decoder, self.multimask_output
        return decode_prompts(decoder, features, position, dense, prompts, part, multimask)
