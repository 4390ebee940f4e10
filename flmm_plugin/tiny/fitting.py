"""The training loop that all tiny models share."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
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
    data: Callable[[int], Iterator[Any]],
    named: Named,
    *,
    lr: float,
    steps: int,
    log: str,
    evaluate: Callable[[], str] | None = None,
    every: int = 500,
    state: Path | None = None,
) -> None:
    """Minimise ``loss_fn`` for ``steps``: warm-up over 2 %, then cosine to 2 % of ``lr``, gradients clipped at 1.

    Args:
        data: batches from a step on, counted from 0.
        evaluate: called every ``every`` steps; what it says is printed.
        state: a file that keeps parameters and optimizers as often; where it is there, training goes on from it.
    """
    named = list(named)
    optimizers = build_optimizers(named, lr)
    done = _load(state, named, optimizers) if state is not None and state.exists() else 0
    batches = data(done)
    begin, smooth = time.time(), 0.0
    for step in range(done + 1, steps + 1):
        factor = min(step / (0.02 * steps), 1) * (0.51 + 0.49 * math.cos(math.pi * step / steps))
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group['lr'] = lr * factor
        loss = loss_fn(next(batches))
        loss.backward()
        nn.utils.clip_grad_norm_([parameter for _, parameter in named], 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        smooth += (loss.item() - smooth) * max(0.02, 1 / (step - done))
        if step % 50 == 0:
            print(f'{log} {step}/{steps} loss {smooth:.4f} {(time.time() - begin) / 60:.1f} min', flush=True)
        if state is not None and (step % every == 0 or step == steps):
            _save(state, named, optimizers, step)
        if evaluate and step % every == 0:
            print(f'{log} {step}/{steps} {evaluate()}', flush=True)


def _save(state: Path, named: list[tuple[str, nn.Parameter]], optimizers: list[Any], step: int) -> None:
    state.parent.mkdir(parents=True, exist_ok=True)
    unfinished = state.with_suffix('.part')
    weights = {name: parameter.data for name, parameter in named}
    torch.save({'step': step, 'weights': weights, 'optimizers': [o.state_dict() for o in optimizers]}, unfinished)
    unfinished.replace(state)


def _load(state: Path, named: list[tuple[str, nn.Parameter]], optimizers: list[Any]) -> int:
    found = torch.load(state)
    for name, parameter in named:
        parameter.data.copy_(found['weights'][name])
    for optimizer, kept in zip(optimizers, found['optimizers'], strict=True):
        optimizer.load_state_dict(kept)
    return found['step']
