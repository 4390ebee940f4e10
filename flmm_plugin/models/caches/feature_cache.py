"""Keeping image features of a frozen encoder: the last few in memory, and all on disk where a folder is given."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor

from flmm_plugin.models.caches.tensor_folder import TensorFolder

#: What an encoder makes of an image: maps (1, D, h, w), one, or several of different sizes.
Features = tuple[Tensor, ...]


class FeatureCache:
    """Features by key.

    Args:
        in_memory: how many of the last used are kept in memory.
        folder: where all are kept in fp16, one file a key, or None. What is given back is rounded to fp16 from the
            first time on, so that all epochs see the same.
        exact: keep them there as they are instead.
    """

    def __init__(self, in_memory: int, folder: str | Path | None = None, exact: bool = False) -> None:
        self.in_memory = in_memory
        self.exact = exact
        self.folder = None if folder is None else TensorFolder(folder)
        self._last: OrderedDict[str, Features] = OrderedDict()

    def get(self, key: str, like: Tensor) -> Features | None:
        """The features, on the device of ``like`` and of its dtype; None if there are none or their file is damaged."""
        if key in self._last:
            self._last.move_to_end(key)
            found: Features | None = self._last[key]
        else:
            kept = None if self.folder is None else self.folder.get(key)
            found = None if kept is None else tuple(kept[name] for name in sorted(kept))
        return None if found is None else tuple(one.to(like.device, like.dtype, non_blocking=True) for one in found)

    def put(self, key: str, features: Features) -> Features:
        """Write the features to disk, if wanted, and give them back as they will be read."""
        if self.folder is None:
            return features
        kept = features if self.exact else tuple(one.to(torch.float16) for one in features)
        self.folder.put(key, {f'features{level or ""}': one for level, one in enumerate(kept)})
        return tuple(one.to(made.dtype) for one, made in zip(kept, features, strict=True))

    def remember(self, features: dict[str, Features]) -> None:
        """Keep these in memory, and forget those that were not used for the longest."""
        for key, value in features.items():
            self._last[key] = value
            self._last.move_to_end(key)
        while len(self._last) > self.in_memory:
            self._last.popitem(last=False)

    def forget(self) -> None:
        """Empty the memory, not the folder."""
        self._last.clear()
