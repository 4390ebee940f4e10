"""Features of a refiner's frozen image encoder: all missing ones of a batch in one call, and none computed twice.

Shape shorthand: B images, D width of a map, (h, w) its size, (H, W) image size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor, nn

from flmm_plugin.models.caches.feature_cache import FeatureCache, Features
from flmm_plugin.models.weights.frozen import weights_hash


class ImageFeatures:
    """Encodes images, which are told apart by their content.

    Args:
        encoder: whose weights tell the features of one model from those of another.
        encode: maps (B, D, h, w) of uint8 images (3, H, W).
        num_values: how many numbers the maps of an image have.
        cache: says which features are kept.
    """

    def __init__(
        self,
        encoder: nn.Module,
        encode: Callable[[Sequence[Tensor]], Features],
        num_values: Callable[[], int],
        cache: FeatureCache,
    ) -> None:
        self.encoder = encoder
        self.encode_images = encode
        self.num_values = num_values
        self.cache = cache
        self._encoder_hash: str | None = None

    @property
    def num_bytes(self) -> int:
        """Size of one image's features on disk."""
        return self.num_values() * (next(self.encoder.parameters()).element_size() if self.cache.exact else 2)

    def encode(self, images: Sequence[Tensor], remember: bool) -> list[Features]:
        """Maps (1, D, h, w) of each uint8 image (3, H, W); ``remember``: keep them in memory."""
        keys = [self._key(image) for image in images]
        pixels = dict(zip(keys, images, strict=True))
        like = next(self.encoder.parameters())
        found = {key: known for key in pixels if (known := self.cache.get(key, like)) is not None}
        missing = [key for key in pixels if key not in found]
        if missing:
            levels = [level.split(1) for level in self.encode_images([pixels[key] for key in missing])]
            for key, features in zip(missing, zip(*levels, strict=True), strict=True):
                # A view would keep the features of the whole batch alive.
                found[key] = self.cache.put(key, tuple(level.clone() for level in features))
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
            self._encoder_hash = weights_hash(self.encoder)
        about = f'{tuple(image.shape)} {torch.is_autocast_enabled()} {self._encoder_hash} {self.cache.exact}'
        return blake2b(image.contiguous().cpu().numpy().tobytes() + about.encode(), digest_size=20).hexdigest()
