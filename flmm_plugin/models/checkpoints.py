"""Reading weight files safely: safetensors, or pickles restricted to tensors."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from flmm_plugin.errors import UserError


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Tensors by name from a .safetensors, .pth or .pt file, on the CPU.

    Accepts a plain state dict or one under ``state_dict``, with or without DDP's ``module.`` prefix.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f'no such checkpoint: {path}')
    if path.suffix == '.safetensors':
        return load_file(path)
    content = torch.load(path, map_location='cpu', weights_only=True)
    content = content.get('state_dict', content)
    return {name.removeprefix('module.'): tensor for name, tensor in content.items()}
