"""What every refiner shares whose decoder takes prompts: from coarse logits and texts to masks at the image's size.

Shape shorthand: P phrases, T text tokens, N prompts and M masks of one, D prompt width, S input side, (H, W) image
size, (h, w) size of the features that prompts are added to.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from flmm_plugin.boxes import mask_boxes
from flmm_plugin.models.caches.feature_cache import FeatureCache, Features
from flmm_plugin.models.refiners.boxes import upsample_masks
from flmm_plugin.models.refiners.candidates import choose, cut
from flmm_plugin.models.refiners.image_features import ImageFeatures
from flmm_plugin.models.refiners.points import prompt_points
from flmm_plugin.models.refiners.resizing import Size, lay_on_square, needed, spread_over_image
from flmm_plugin.models.weights.frozen import freeze, weights_hash
from flmm_plugin.structures import size_of

PROMPTS = ('mask', 'box', 'text')
#: An untrained decoder may be given these too.
KNOWN = (*PROMPTS, 'points')


class PromptedRefiner(nn.Module, ABC):
    """A segmenter with a frozen image encoder, whose prompt encoder and mask decoder are trained.

    Args:
        model: the segmenter, with ``prompt_encoder`` and ``mask_decoder``.
        encoder: its image encoder.
        prompts: which of ``'mask'``, ``'box'``, ``'text'`` and ``'points'`` (see :func:`prompt_points`) the decoder is
            given.
        cache: says which image features are kept.
        multimask_output: the decoder gives several masks a prompt, for prompts that may mean several things.
        levels: logits at which the coarse mask is cut, each of which gives a prompt; 0, a probability of one half, by
            default. Of all masks of a phrase one is kept, see :func:`choose`.
    """

    model: Any
    #: S, of the square input.
    side: int
    #: Size of mask prompts, and of the masks that are decoded.
    mask_size: Size
    #: D, the width of a text prompt.
    embed_dim: int

    def __init__(
        self,
        model: nn.Module,
        encoder: nn.Module,
        prompts: Sequence[str],
        cache: FeatureCache,
        multimask_output: bool = False,
        levels: Sequence[float] = (0.0,),
    ) -> None:
        super().__init__()
        if not prompts or set(prompts) - set(KNOWN):
            raise ValueError(f'prompts must be some of {KNOWN}, got {tuple(prompts)}')
        if not levels:
            raise ValueError('levels must name one logit at least')
        self.prompts = tuple(prompts)
        self.multimask_output, self.levels = multimask_output, tuple(levels)
        self.model = model
        freeze(encoder)
        self.image_features = ImageFeatures(encoder, self.encode, lambda: self.num_values, cache)
        self._register_load_state_dict_pre_hook(self.image_features.renew)

    @property
    @abstractmethod
    def num_values(self) -> int:
        """How many numbers the features of an image have."""

    @abstractmethod
    def input_size(self, image: Tensor) -> Size:
        """(height, width) of the image in the input, before padding to (S, S)."""

    @abstractmethod
    def encode(self, images: Sequence[Tensor]) -> Features:
        """Features (B, ...) of uint8 images (3, H, W), the ones that prompts are added to, (B, D, h, w), first."""

    @abstractmethod
    def embed(
        self, boxes: Tensor | None, masks: Tensor | None, points: tuple[Tensor, Tensor] | None, count: int
    ) -> tuple[Tensor, Tensor]:
        """Dense (P, D, h, w) and sparse (P, N, D) embeddings of prompts.

        Args:
            boxes: (P, 4).
            masks: (P, 1, *mask_size).
            points: of :func:`prompt_points`.
            count: P.
        """

    @abstractmethod
    def decode(
        self, features: Sequence[Any], dense: Tensor, prompts: Sequence[Tensor], part: Size | None = None
    ) -> tuple[Tensor, Tensor]:
        """Logits (P, M, *mask_size), or their upper left part, and predicted IoU (P, M).

        Args:
            features: for each phrase those of its image, of :meth:`encode_images`.
            dense: (P, D, h, w) embeddings of the mask prompts.
            prompts: for each phrase (N, D) embeddings of points, box and text, N may differ.
            part: the upper left part of (h, w) for which logits are wanted; all by default. More may be given.
        """

    def train(self, mode: bool = True) -> PromptedRefiner:
        super().train(mode)
        self.image_features.encoder.eval()
        self.image_features.cache.forget()
        return self

    def weights_hash(self) -> str:
        """sha256 of the frozen image encoder's weights."""
        return weights_hash(self.image_features.encoder)

    @torch.no_grad()
    def encode_images(self, images: Sequence[Tensor]) -> list[Any]:
        """Features, tuples of (1, ...), of each uint8 image (3, H, W), encoded in one call.

        An image that comes twice is encoded once; in evaluation the last ``cache_size`` are kept.
        """
        return self.image_features.encode(images, remember=not self.training)

    def forward(
        self, image: Tensor, coarse_logits: Tensor, text: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """:meth:`refine` for one image."""
        features = self.encode_images([image])
        return self.refine([image], features, [coarse_logits], None if text is None else [text])[0]

    def refine(
        self,
        images: Sequence[Tensor],
        features: Sequence[Any],
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
            For each image logits (P, H, W) fp32 and the predicted IoU (P,).
        """
        sizes = [size_of(image) for image in images]
        input_sizes = [self.input_size(image) for image in images]
        coarse = [cut(logits, self.levels) for logits in coarse_logits]
        embedded = [self.embed_prompts(*about) for about in zip(coarse, sizes, input_sizes, strict=True)]
        dense = torch.cat([one for one, _ in embedded])
        prompts = [prompt for _, sparse in embedded for prompt in sparse]
        if texts is not None and 'text' in self.prompts:
            words = [tokens for text in texts for tokens in text for _ in self.levels]
            prompts = [torch.cat([p, tokens.to(p)]) for p, tokens in zip(prompts, words, strict=True)]
        counts = [len(logits) for logits in coarse]
        owners = [one for one, count in zip(features, counts, strict=True) for _ in range(count)]
        logits, scores = self.decode(owners, dense, prompts, self._part(input_sizes))
        refined = []
        for own, own_scores, cuts, input_size, size in zip(
            logits.split(counts), scores.split(counts), coarse, input_sizes, sizes, strict=True
        ):
            masks, predicted = self._best(own, own_scores, cuts, input_size)
            refined.append((self.image_masks(masks, input_size, size), predicted))
        return refined

    def _best(self, logits: Tensor, scores: Tensor, coarse: Tensor, input_size: Size) -> tuple[Tensor, Tensor]:
        """Of each phrase the mask that is kept and its score: of one image (P * levels, M, ...) logits and scores."""
        if logits.shape[1] * len(self.levels) == 1:
            return logits[:, 0], scores[:, 0]
        height, width = size_of(logits)
        known = self.mask_prompts(coarse, input_size)[:, 0, :height, :width]
        return choose(logits, scores, known, len(self.levels))

    def embed_prompts(self, coarse_logits: Tensor, size: Size, input_size: Size) -> tuple[Tensor, Tensor]:
        """Dense (P, D, h, w) and sparse (P, N, D) prompt embeddings of the coarse masks."""
        return self.embed(
            self.boxes(coarse_logits, size, input_size) if 'box' in self.prompts else None,
            self.mask_prompts(coarse_logits, input_size) if 'mask' in self.prompts else None,
            prompt_points(coarse_logits, input_size) if 'points' in self.prompts else None,
            len(coarse_logits),
        )

    def mask_prompts(self, logits: Tensor, input_size: Size) -> Tensor:
        """Logits laid on the square input."""
        return lay_on_square(logits, self.outside(logits), input_size, self.side, self.mask_size)

    def outside(self, logits: Tensor) -> Tensor:
        """The logit beyond the image, (P, 1, 1): the lowest of the phrase, so that no other changes it; -1 at most."""
        return logits.detach().float().amin(dim=(1, 2), keepdim=True).clamp(max=-1.0)

    def boxes(self, logits: Tensor, size: Size, input_size: Size) -> Tensor:
        """(P, 4) boxes x0, y0, x1, y1 around the masks in the input; the whole image for an empty mask."""
        x0, y0, x1, y1 = mask_boxes(upsample_masks(logits, size)).unbind(dim=1)
        # As numbers: a tensor of them would come from the host, and a GPU would wait for it.
        x, y = input_size[1] / size[1], input_size[0] / size[0]
        return torch.stack([x0 * x, y0 * y, x1 * x, y1 * y], dim=1)

    def image_masks(self, logits: Tensor, input_size: Size, size: Size) -> Tensor:
        """The decoder's logits, of the part that the image needs at least, at the image's size: (P, H, W) fp32."""
        return spread_over_image(logits, self.mask_size, self.side, input_size, size)

    def _part(self, input_sizes: Sequence[Size]) -> Size:
        """The rows and columns of the features in which all images of these sizes lie; masks are 4 times as fine."""
        heights, widths = zip(*(needed(size, self.side, self.mask_size) for size in input_sizes), strict=True)
        return -(-max(heights) // 4), -(-max(widths) // 4)
