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


def fingerprint(module: nn.Module, values: int = 64) -> str:
    """Hash of ``values`` values of each parameter, rounded to bfloat16: the same in whatever dtype it was loaded."""
    digest = hashlib.sha256()
    for name, parameter in sorted(module.named_parameters()):
        flat = parameter.detach().flatten()
        sample = flat[:: max(1, len(flat) // values)][:values].cpu().bfloat16().contiguous()
        digest.update(f'{name} {tuple(parameter.shape)}'.encode())
        digest.update(sample.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
