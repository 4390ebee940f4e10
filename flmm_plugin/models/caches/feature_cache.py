"""Keeping image features of a frozen encoder: the last few in memory, and all on disk where a folder is given."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor

from flmm_plugin.models.caches.tensor_folder import TensorFolder


class FeatureCache:
    """Features (1, D, h, w) by key.

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
        self._last: OrderedDict[str, Tensor] = OrderedDict()

    def get(self, key: str, like: Tensor) -> Tensor | None:
        """The features, on the device of ``like`` and of its dtype; None if there are none or their file is damaged."""
        if key in self._last:
            self._last.move_to_end(key)
            found: Tensor | None = self._last[key]
        else:
            kept = None if self.folder is None else self.folder.get(key)
            found = None if kept is None else kept['features']
        return None if found is None else found.to(like.device, like.dtype, non_blocking=True)

    def put(self, key: str, features: Tensor) -> Tensor:
        """Write the features to disk, if wanted, and give them back as they will be read."""
        if self.folder is None:
            return features
        kept = features if self.exact else features.to(torch.float16)
        self.folder.put(key, {'features': kept})
        return kept.to(features.dtype)

    def remember(self, features: dict[str, Tensor]) -> None:
        """Keep these in memory, and forget those that were not used for the longest."""
        for key, value in features.items():
            self._last[key] = value
            self._last.move_to_end(key)
        while len(self._last) > self.in_memory:
            self._last.popitem(last=False)

    def forget(self) -> None:
        """Empty the memory, not the folder."""
        self._last.clear()
