"""Lets ``torch.load`` read mmengine's checkpoints without the power to run code.

From torch 2.6 on, ``torch.load`` builds nothing but tensors and plain containers unless a type is allowed by name.
mmengine 0.10 neither allows its own types nor says ``weights_only=False``, so that its checkpoints, which carry the log
history in numpy arrays, cannot be loaded or resumed. Allowing the few harmless things they hold mends that for the
whole process.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim import OneCycleParamScheduler

#: What mmengine's checkpoints hold of its own classes: methods that compute, which change nothing.
METHODS: dict[type, tuple[str, ...]] = {
    HistoryBuffer: ('min', 'max', 'current', 'mean'),
    OneCycleParamScheduler: ('_annealing_cos', '_annealing_linear'),
}
KINDS = ('bool', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8', 'f2', 'f4', 'f8', 'U')


def mmengine_globals() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """What mmengine's checkpoints refer to: its log history, and numpy's arrays and scalars of numbers and text.

    numpy's constructors stand under both their old and their new name: a checkpoint may come from either version.
    The log history and ``OneCycleLR`` hold methods of their own classes, which pickles spell with ``getattr``; what
    stands in for it gives out these methods and nothing else.
    """
    array, scalar = np.zeros(0).__reduce__()[0], np.float64(0).__reduce__()[0]
    allowed: list[Any] = [*METHODS, np.ndarray, np.dtype, *(type(np.dtype(kind)) for kind in KINDS)]
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        allowed += [(array, f'{module}._reconstruct'), (scalar, f'{module}.scalar')]
    return [*allowed, (harmless_method, 'builtins.getattr')]


def harmless_method(owner: type, name: str) -> Callable[..., Any]:
    """``getattr`` for :data:`METHODS`; anything else is refused."""
    if not isinstance(owner, type) or name not in METHODS.get(owner, ()):
        raise pickle.UnpicklingError(f'the checkpoint asks for attribute {name!r} of {owner!r}, which is not allowed')
    method: Callable[..., Any] = getattr(owner, name)
    return method


def allow_mmengine_checkpoints() -> None:
    """Extend torch's list of allowed types; older versions of torch need nothing."""
    if tuple(int(part) for part in torch.__version__.split('.')[:2]) >= (2, 6):
        torch.serialization.add_safe_globals(mmengine_globals())
