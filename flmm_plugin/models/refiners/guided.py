"""Edge-aware up-sampling in place of a segmenter, for machines that are too small for one.

Shape shorthand: P phrases, (h, w) size of coarse logits, (H, W) image size.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from flmm_plugin.errors import UserError
from flmm_plugin.registry import MODELS
from flmm_plugin.structures import size_of


@MODELS.register_module(name=['GuidedFilterRefiner', 'none'])
class GuidedFilterRefiner(nn.Module):
    """Coarse logits at the image's size, their edges moved to the image's by a guided filter (He et al., 2013).

    Nothing is trained; gradients pass to the coarse logits.

    Args:
        radius: of the filter, in coarse cells: how far an edge may move.
        eps: variance of the image's values in [0, 1] that counts as an edge.

    Raises:
        UserError: kornia, whose filter this is, is not installed.
    """

    prompts: tuple[str, ...] = ()

    def __init__(self, *, radius: float = 1.0, eps: float = 1e-2) -> None:
        super().__init__()
        try:
            from kornia.filters import guided_blur
        except ImportError as error:
            raise UserError('the refiner without a segmenter filters by kornia: pip install kornia') from error
        self.filter = guided_blur
        self.radius = radius
        self.eps = eps

    def weights_hash(self) -> str:
        """There are no weights: always the same."""
        return sha256().hexdigest()

    def encode_images(self, images: Sequence[Tensor]) -> list[None]:
        """There is nothing to encode."""
        return [None for _ in images]

    def refine(
        self,
        images: Sequence[Tensor],
        features: Sequence[Any],
        coarse_logits: Sequence[Tensor],
        texts: Sequence[Sequence[Tensor]] | None = None,
    ) -> list[tuple[Tensor, Tensor]]:
        """For each uint8 image (3, H, W) with coarse logits (P, h, w): logits (P, H, W) fp32 and scores (P,).

        The score is the mean probability within the mask, 0 where there is none.
        """
        return [self(image, logits) for image, logits in zip(images, coarse_logits, strict=True)]

    def forward(self, image: Tensor, coarse_logits: Tensor, text: Any = None) -> tuple[Tensor, Tensor]:
        """:meth:`refine` for one image."""
        size = size_of(image)
        raised = F.interpolate(coarse_logits.float()[:, None], size=size, mode='bilinear')
        if len(raised):
            cell = max(full / coarse for full, coarse in zip(size, coarse_logits.shape[-2:], strict=True))
            # The filter's window must lie within the image.
            reach = min(max(round(self.radius * cell), 1), (min(size) - 1) // 2)
            guide = image.to(raised.device)[None].float().div(255).expand(len(raised), -1, -1, -1)
            raised = self.filter(guide, raised, 2 * reach + 1, self.eps) if reach else raised
        logits = raised[:, 0]
        inside, chances = logits.detach() > 0, logits.detach().sigmoid()
        return logits, (chances * inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)
