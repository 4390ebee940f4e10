"""Features of SAM's frozen image encoder: all missing ones of a batch in one call, and none computed twice.

Shape shorthand: D prompt width, S input side of SAM, (H, W) image size.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import torch
from segment_anything.modeling import Sam
from torch import Tensor

from flmm_plugin.models.caches.feature_cache import FeatureCache
from flmm_plugin.models.refiners.resizing import fit_longest_side
from flmm_plugin.models.weights.frozen import weights_hash
from flmm_plugin.resampling import resize_bilinear
from flmm_plugin.structures import size_of


class ImageFeatures:
    """Encodes images, which are told apart by their content; ``cache`` says which features are kept."""

    def __init__(self, model: Sam, cache: FeatureCache) -> None:
        self.model = model
        self.cache = cache
        self._encoder_hash: str | None = None

    @property
    def num_bytes(self) -> int:
        """Size of one image's features on disk."""
        height, width = self.model.prompt_encoder.image_embedding_size
        each = next(self.model.image_encoder.parameters()).element_size() if self.cache.exact else 2
        return each * self.model.prompt_encoder.embed_dim * height * width

    def encode(self, images: Sequence[Tensor], remember: bool) -> list[Tensor]:
        """Features (1, D, S / patch, S / patch) of each uint8 image (3, H, W); ``remember``: keep them in memory."""
        keys = [self._key(image) for image in images]
        pixels = dict(zip(keys, images, strict=True))
        like = next(self.model.image_encoder.parameters())
        found = {key: known for key in pixels if (known := self.cache.get(key, like)) is not None}
        missing = [key for key in pixels if key not in found]
        if missing:
            inputs = torch.cat([self.preprocess(pixels[key]) for key in missing])
            for key, features in zip(missing, self.model.image_encoder(inputs).split(1), strict=True):
                # A view would keep the features of the whole batch alive.
                found[key] = self.cache.put(key, features.clone())
        if remember:
            self.cache.remember(found)
        return [found[key] for key in keys]

    def renew(self, *_: Any) -> None:
        """To be called when the encoder has other weights; takes what hooks of ``load_state_dict`` are given."""
        self._encoder_hash = None
        self.cache.forget()

    def _key(self, image: Tensor) -> str:
        """Tells images apart by content, and encoders where features outlive the process."""
        if self.cache.folder is not None and self._encoder_hash is None:
            self._encoder_hash = weights_hash(self.model.image_encoder)
        about = f'{tuple(image.shape)} {torch.is_autocast_enabled()} {self._encoder_hash} {self.cache.exact}'
        return blake2b(image.contiguous().cpu().numpy().tobytes() + about.encode(), digest_size=20).hexdigest()

    def preprocess(self, image: Tensor) -> Tensor:
        """(1, 3, S, S) of a uint8 image (3, H, W)."""
        pixels = resize_bilinear(image, fit_longest_side(size_of(image), self.model.image_encoder.img_size))
        return self.model.preprocess(pixels.to(self.model.device, non_blocking=True)[None])
