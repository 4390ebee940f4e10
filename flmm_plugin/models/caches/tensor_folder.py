"""Tensors kept on disk by key, for several processes at once."""

from __future__ import annotations

import os
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor


class TensorFolder:
    """A folder with one safetensors file a key."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def __str__(self) -> str:
        return str(self.folder)

    def get(self, key: str) -> dict[str, Tensor] | None:
        """The tensors, on the CPU; None if there are none or their file is damaged."""
        path = self._path(key)
        if not path.exists():
            return None
        try:
            return load_file(path)
        except SafetensorError:  # cut off, for example on a full disk: to be made and written again
            return None

    def put(self, key: str, tensors: dict[str, Tensor]) -> None:
        # Under a name of its own until it is whole: other processes read at any time.
        partial = self._path(key).with_suffix(f'.{os.getpid()}.partial')
        save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, partial)
        partial.replace(self._path(key))

    def _path(self, key: str) -> Path:
        return self.folder / f'{key}.safetensors'
