"""How transformers' segment-anything models encode images and decode prompts, a small class for each kind.

Shape shorthand: B images, P phrases, N prompts of one, D prompt width, (h, w) size of the features that prompts are
added to; masks are four times as fine.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from flmm_plugin.models.caches.feature_cache import Features


class Family(ABC):
    """What differs between the models of transformers."""

    #: Is an image squashed to the square input? Else its longer side fills it and the rest is padding.
    squashes: bool
    #: Must a prompt without box and points have a point that is none?
    needs_point = False

    def __init__(self, model: Any) -> None:
        self.model = model
        model.requires_grad_(False)
        for part in (model.prompt_encoder, model.mask_decoder):
            part.requires_grad_(True)
        # Also the prompt encoder's, and random numbers by design: a buffer in some releases, a parameter in others.
        model.shared_image_embedding.requires_grad_(False)

    @property
    def encoder(self) -> nn.Module:
        """All that features depend on."""
        return self.model.vision_encoder

    @abstractmethod
    def encode(self, pixels: Tensor) -> Features:
        """Maps of pixels (B, 3, S, S), first the one that prompts are added to, (B, D, h, w)."""

    def embed(
        self, boxes: Tensor | None, masks: Tensor | None, points: tuple[Tensor, Tensor] | None, count: int
    ) -> tuple[Tensor, Tensor]:
        """Dense (P, D, h, w) and sparse (P, N, D) embeddings, see :meth:`PromptedRefiner.embed`."""
        places: Tensor | None = None
        labels: Tensor | None = None
        if points is not None:
            places, labels = points[0][:, None], points[1][:, None]
        elif boxes is None and self.needs_point:
            # What the models' own forward pass gives where there is no prompt: a point that is none.
            weight = self.model.prompt_encoder.point_embed.weight
            places = weight.new_zeros(count, 1, 1, 2)
            labels = torch.full((count, 1, 1), -1, dtype=torch.int32, device=weight.device)
        sparse, dense = self.model.prompt_encoder(
            input_points=places,
            input_labels=labels,
            input_boxes=None if boxes is None else boxes[:, None],
            input_masks=masks,
        )
        none = dense.new_zeros(count, 0, dense.shape[1])
        return dense.expand(count, -1, -1, -1), none if sparse is None else sparse[:, 0]

    def decode(self, features: Features, dense: Tensor, sparse: Tensor, multimask: bool) -> tuple[Tensor, Tensor]:
        """Mask logits (P, M, 4h, 4w) and predicted IoU (P, M); ``features`` are maps of each phrase's image, (P, ...).

        M is 1, or with ``multimask`` what the model gives then.
        """
        position = self.model.get_image_wide_positional_embeddings().expand(len(dense), -1, -1, -1)
        masks, scores, *_ = self.model.mask_decoder(
            image_embeddings=features[0],
            image_positional_embeddings=position,
            sparse_prompt_embeddings=sparse[:, None],
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
            **self._more(features),
        )
        return masks[:, 0], scores[:, 0]

    def _more(self, features: Features) -> dict[str, Any]:
        return {}


class SAM(Family):
    """Segment Anything (2023)."""

    squashes = False

    def encode(self, pixels: Tensor) -> Features:
        return (self.model.vision_encoder(pixels).last_hidden_state,)


class SAMHQ(SAM):
    """SAM-HQ (arXiv 2306.01567): the decoder sees an early layer of the encoder as well."""

    def encode(self, pixels: Tensor) -> Features:
        encoded = self.model.vision_encoder(pixels)
        return encoded.last_hidden_state, encoded.intermediate_embeddings[0]

    def _more(self, features: Features) -> dict[str, Any]:
        return dict(hq_token_only=False, intermediate_embeddings=[features[1]])


class SAM2(Family):
    """SAM 2 (arXiv 2408.00714) and its kin: a pyramid, whose fine maps are added while masks are spread.

    The decoder's convolutions of the fine maps belong to the encoder here, frozen with it: features can then be kept.
    One mask is asked for; the fallback to one of three others, which are not trained, is off.
    """

    squashes = True
    needs_point = True

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        for convolution in (model.mask_decoder.conv_s0, model.mask_decoder.conv_s1):
            convolution.requires_grad_(False)
        model.mask_decoder.dynamic_multimask_via_stability = False

    @property
    def encoder(self) -> nn.Module:
        decoder = self.model.mask_decoder
        return nn.ModuleList([self.model.vision_encoder, decoder.conv_s0, decoder.conv_s1])

    def encode(self, pixels: Tensor) -> Features:
        finest, finer, coarse = self.model.get_image_embeddings(pixels)
        return coarse, finer, finest

    def _more(self, features: Features) -> dict[str, Any]:
        return dict(high_resolution_features=[features[2], features[1]])
