"""The training loop that both tiny models share."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

Named = Iterable[tuple[str, nn.Parameter]]


def build_optimizers(named: Named, lr: float) -> list[torch.optim.Optimizer]:
    """Muon for the hidden matrices, AdamW for embeddings, output layers, convolutions and vectors."""
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in named:
        hidden = parameter.ndim == 2 and not any(part in name for part in ('embed', 'lm_head', 'words'))
        (matrices if hidden else rest).append(parameter)
    return [
        torch.optim.Muon(matrices, lr=lr, weight_decay=0.01, adjust_lr_fn='match_rms_adamw'),
        torch.optim.AdamW(rest, lr=lr, weight_decay=0.0, betas=(0.9, 0.98)),
    ]


def fit(
    loss_fn: Callable[[Any], Tensor],
    data: Iterator[Any],
    named: Named,
    *,
    lr: float,
    steps: int,
    log: str,
    evaluate: Callable[[], str] | None = None,
    every: int = 500,
) -> None:
    """Minimise ``loss_fn`` for ``steps``: warm-up over 2 %, then cosine to 2 % of ``lr``, gradients clipped at 1."""
    named = list(named)
    optimizers = build_optimizers(named, lr)
    begin, smooth = time.time(), 0.0
    for step in range(1, steps + 1):
        factor = min(step / (0.02 * steps), 1) * (0.51 + 0.49 * math.cos(math.pi * step / steps))
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group['lr'] = lr * factor
        loss = loss_fn(next(data))
        loss.backward()
        nn.utils.clip_grad_norm_([parameter for _, parameter in named], 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        smooth += (loss.item() - smooth) * max(0.02, 1 / step)
        if step % 50 == 0:
            print(f'{log} {step}/{steps} loss {smooth:.4f} {(time.time() - begin) / 60:.1f} min', flush=True)
        if evaluate and step % every == 0:
            print(f'{log} {step}/{steps} {evaluate()}', flush=True)
