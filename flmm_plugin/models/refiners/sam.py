"""SAM as the refiner: coarse logits, their box and the phrase's text become its prompts (F-LMM section 3.3).

Shape shorthand: P phrases, T text tokens of a phrase, D prompt width, S input side of SAM, (H, W) image size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from flmm_plugin.assets import resolve
from flmm_plugin.models.caches.feature_cache import FeatureCache
from flmm_plugin.models.refiners.boxes import mask_boxes, upsample_masks
from flmm_plugin.models.refiners.decoding import decode_prompts
from flmm_plugin.models.refiners.image_features import ImageFeatures
from flmm_plugin.models.refiners.resizing import fit_longest_side, lay_on_square, needed, spread_over_image
from flmm_plugin.models.refiners.sam_arch import build_sam
from flmm_plugin.models.weights.checkpoints import read_tensors
from flmm_plugin.models.weights.frozen import freeze, weights_hash
from flmm_plugin.registry import MODELS
from flmm_plugin.structures import size_of

PROMPTS = ('mask', 'box', 'text')


@MODELS.register_module()
class SAMRefiner(nn.Module):
    """Segment-anything with a frozen image encoder; prompt encoder and mask decoder are trained.

    Args:
        arch: see :func:`build_sam`.
        checkpoint: SAM's weights (.pth, .pt or .safetensors, or ``flmm_plugin::NAME``); None leaves them random.
        prompts: which of ``'mask'``, ``'box'`` and ``'text'`` the decoder is given.
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
    ) -> None:
        super().__init__()
        if not prompts or set(prompts) - set(PROMPTS):
            raise ValueError(f'prompts must be some of {PROMPTS}, got {tuple(prompts)}')
        self.prompts = tuple(prompts)
        self.model = build_sam(arch)
        if checkpoint is not None:
            self.model.load_state_dict(read_tensors(resolve(checkpoint)))
        freeze(self.model.image_encoder)
        cache = FeatureCache(cache_size, feature_folder, exact_features)
        self.image_features = ImageFeatures(self.model, cache)
        self._register_load_state_dict_pre_hook(self.image_features.renew)

    @property
    def embed_dim(self) -> int:
        """D, the width of a text prompt."""
        return self.model.prompt_encoder.embed_dim

    def train(self, mode: bool = True) -> SAMRefiner:
        super().train(mode)
        self.model.image_encoder.eval()
        self.image_features.cache.forget()
        return self

    def weights_hash(self) -> str:
        """sha256 of the frozen image encoder's weights."""
        return weights_hash(self.model.image_encoder)

    def forward(
        self, image: Tensor, coarse_logits: Tensor, text: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """:meth:`refine` for one image."""
        features = self.encode_images([image])
        return self.refine([image], features, [coarse_logits], None if text is None else [text])[0]

    def refine(
        self,
        images: Sequence[Tensor],
        features: Sequence[Tensor],
        coarse_logits: Sequence[Tensor],
        texts: Sequence[Sequence[Tensor]] | None = None,
    ) -> list[tuple[Tensor, Tensor]]:
        """Refine the masks of several images, all phrases together.

        Args:
            images: (3, H, W) uint8 RGB.
            features: the images' of :meth:`encode_images`.
            coarse_logits: of each image (P, h, w) over the whole of it. Gradients pass through the mask prompt, not
                through the box.
            texts: of each image, for each phrase (T, D) embeddings, T may differ.

        Returns:
            For each image logits (P, H, W) fp32 and SAM's predicted IoU (P,).
        """
        sizes = [size_of(image) for image in images]
        input_sizes = [self.input_size(image) for image in images]
        embedded = [self.embed_prompts(*about) for about in zip(coarse_logits, sizes, input_sizes, strict=True)]
        dense = torch.cat([one for one, _ in embedded])
        prompts = [prompt for _, sparse in embedded for prompt in sparse]
        if texts is not None and 'text' in self.prompts:
            words = [tokens for text in texts for tokens in text]
            prompts = [torch.cat([p, tokens.to(p)]) for p, tokens in zip(prompts, words, strict=True)]
        counts = [len(logits) for logits in coarse_logits]
        owners = [one for one, count in zip(features, counts, strict=True) for _ in range(count)]
        logits, scores = self.decode(owners, dense, prompts, self._part(input_sizes))
        return [
            (self.image_masks(own, input_size, size), own_scores)
            for own, own_scores, input_size, size in zip(
                logits.split(counts), scores.split(counts), input_sizes, sizes, strict=True
            )
        ]

    def input_size(self, image: Tensor) -> tuple[int, int]:
        """(height, width) of the image in SAM's input, before padding to (S, S)."""
        return fit_longest_side(size_of(image), self.model.image_encoder.img_size)

    @torch.no_grad()
    def encode_images(self, images: Sequence[Tensor]) -> list[Tensor]:
        """Features (1, D, S / patch, S / patch) of each uint8 image (3, H, W), encoded in one call.

        An image that comes twice is encoded once; in evaluation the last ``cache_size`` are kept.
        """
        return self.image_features.encode(images, remember=not self.training)

    def embed_prompts(
        self, coarse_logits: Tensor, size: tuple[int, int], input_size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Dense (P, D, S / patch, S / patch) and sparse (P, 0 or 2, D) prompt embeddings of the coarse masks."""
        count = len(coarse_logits)
        sparse, dense = self.model.prompt_encoder(
            points=None,
            boxes=self.boxes(coarse_logits, size, input_size) if 'box' in self.prompts else None,
            masks=self.mask_prompts(coarse_logits, input_size) if 'mask' in self.prompts else None,
        )
        # The encoder takes the number of prompts from boxes or masks, and assumes one where there is neither.
        return dense.expand(count, -1, -1, -1), sparse.expand(count, -1, -1)

    def mask_prompts(self, logits: Tensor, input_size: tuple[int, int]) -> Tensor:
        """Logits laid on SAM's square input, outside the image as surely background as the lowest of them."""
        side, prompt_size = self.model.image_encoder.img_size, self.model.prompt_encoder.mask_input_size
        return lay_on_square(logits, input_size, side, prompt_size)

    def image_masks(self, logits: Tensor, input_size: tuple[int, int], size: tuple[int, int]) -> Tensor:
        """The decoder's logits, of the part that the image needs at least, at the image's size: (P, H, W) fp32."""
        whole, side = self.model.prompt_encoder.mask_input_size, self.model.image_encoder.img_size
        return spread_over_image(logits, whole, side, input_size, size)

    def _part(self, input_sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
        """The rows and columns of the features in which all images of these sizes lie; masks are 4 times as fine."""
        whole, side = self.model.prompt_encoder.mask_input_size, self.model.image_encoder.img_size
        heights, widths = zip(*(needed(size, side, whole) for size in input_sizes), strict=True)
        return -(-max(heights) // 4), -(-max(widths) // 4)

    def boxes(self, logits: Tensor, size: tuple[int, int], input_size: tuple[int, int]) -> Tensor:
        """(P, 4) boxes x0, y0, x1, y1 around the masks in SAM's input; the whole image for an empty mask."""
        x0, y0, x1, y1 = mask_boxes(upsample_masks(logits, size)).unbind(dim=1)
        # As numbers: a tensor of them would come from the host, and a GPU would wait for it.
        x, y = input_size[1] / size[1], input_size[0] / size[0]
        return torch.stack([x0 * x, y0 * y, x1 * x, y1 * y], dim=1)

    def decode(
        self,
        features: Sequence[Tensor],
        dense: Tensor,
        prompts: Sequence[Tensor],
        part: tuple[int, int] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Low-resolution logits (P, 4r, 4c) and predicted IoU (P,).

        Args:
            features: for each phrase those of its image, (1, D, S / patch, S / patch).
            dense: (P, D, S / patch, S / patch) embeddings of the mask prompts.
            prompts: for each phrase (N, D) embeddings of box and text, N may differ.
            part: (r, c), the upper left part of the features for which logits are wanted, all of them by default.
        """
        position = self.model.prompt_encoder.get_dense_pe()
        return decode_prompts(self.model.mask_decoder, features, position, dense, prompts, part)
