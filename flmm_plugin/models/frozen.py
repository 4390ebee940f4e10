"""Freezing modules, and proving that they stayed frozen."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def freeze(module: nn.Module) -> None:
    """No gradient for any parameter, evaluation mode."""
    module.requires_grad_(False)
    module.eval()


def weights_hash(module: nn.Module) -> str:
    """sha256 over names, dtypes, shapes and bytes of all parameters and saved buffers, independent of the device."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f'{name} {tensor.dtype} {tuple(tensor.shape)}'.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
