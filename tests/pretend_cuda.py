"""A GPU for machines without one: tensors that say they are on ``cuda`` and are computed on the CPU.

Inside :func:`pretend_cuda` what a GPU would not do fails, an operation on tensors of different devices, and what would
make the host wait for it is noted, with the place in the code.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

aten = torch.ops.aten
CUDA = torch.device('cuda', 0)
TORCH = f'{Path(torch.__file__).parent}/'
#: The host must know what is in these before it can go on: values, or how many there are.
WAITS = {
    aten._local_scalar_dense.default,
    aten.equal.default,
    aten.is_nonzero.default,
    aten.masked_select.default,
    aten.nonzero.default,
    aten._unique2.default,
}
INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._unsafe_index.Tensor}
COPIES = {aten._to_copy.default, aten.copy_.default}


class CUDATensor(Tensor):
    """Holds what it stands for as ``on_cpu``."""

    on_cpu: Tensor

    @staticmethod
    def __new__(cls, on_cpu: Tensor) -> CUDATensor:
        tensor = Tensor._make_wrapper_subclass(
            cls, on_cpu.shape, strides=on_cpu.stride(), dtype=on_cpu.dtype, device=CUDA
        )
        tensor.on_cpu = on_cpu
        return tensor

    def __repr__(self, **_: Any) -> str:
        return f'on {CUDA}: {self.on_cpu!r}'

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError(f'{func} on a tensor of pretend_cuda() after its end')

    __torch_function__ = torch._C._disabled_torch_function_impl


class PretendCUDA(TorchDispatchMode):
    """``waits``: where the host waited for the device, as ``file:line of the innermost Python code outside torch``."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        ours = [tensor for tensor in tensors if isinstance(tensor, CUDATensor)]
        device = kwargs.get('device')
        to_cuda = bool(ours) if device is None else torch.device(device).type == 'cuda'
        if not ours and not to_cuda:
            return func(*args, **kwargs)
        if func is aten._fused_sdp_choice.default:
            return 0  # the plain way, which both devices know
        if ours and func not in COPIES:
            refuse_two_devices(func, args, tensors)
        if waits(func, args, kwargs, to_cuda):
            self.waits.append(place(func))
        if device is not None:
            kwargs['device'] = torch.device('cpu')
        first = args[0] if args else None
        args, kwargs = tree_map_only(CUDATensor, lambda tensor: tensor.on_cpu, (args, kwargs))
        results = func(*args, **kwargs)
        if func._schema.is_mutable and results is args[0]:
            return first
        return tree_map_only(Tensor, CUDATensor, results) if to_cuda else results


def refuse_two_devices(func: Any, args: Any, tensors: list[Tensor]) -> None:
    """Single values and indices may come from the CPU."""
    allowed = {id(index) for index in tree_leaves(args[1])} if func in INDEXED else set()
    if any(t.ndim > 0 and not isinstance(t, CUDATensor) and id(t) not in allowed for t in tensors):
        raise RuntimeError(f'{func} on tensors of cuda and of the CPU')


def waits(func: Any, args: Any, kwargs: dict[str, Any], to_cuda: bool) -> bool:
    """Whether the host waits in this operation, with tensors on the GPU or (``to_cuda``) results there."""
    if func is aten._to_copy.default:
        return crosses(args[0], to_cuda, kwargs.get('non_blocking', False))
    if func is aten.copy_.default:
        return crosses(args[1], isinstance(args[0], CUDATensor), any(args[2:]))
    if func in INDEXED:
        indices = [index for index in tree_leaves(args[1]) if isinstance(index, Tensor)]
        return any(index.dtype == torch.bool or not isinstance(index, CUDATensor) for index in indices)
    return func in WAITS


def crosses(source: Tensor, to_cuda: bool, non_blocking: bool) -> bool:
    """Whether a copy to (or else from) the GPU makes the host wait: memory of the host is not pinned here."""
    return isinstance(source, CUDATensor) != to_cuda and not (to_cuda and non_blocking)


def place(func: Any) -> str:
    frames = [f for f in traceback.extract_stack() if not f.filename.startswith(TORCH) and __file__ != f.filename]
    return f'{frames[-1].filename}:{frames[-1].lineno} {func}'


@contextmanager
def pretend_cuda() -> Iterator[PretendCUDA]:
    """Inside the block ``cuda:0`` may be moved to and created on; what was moved to it is of no use afterwards."""
    torch._C._ensureCUDADeviceGuardSet()  # one that does nothing, where there is no GPU
    overwrite = torch.__future__.get_overwrite_module_params_on_conversion()
    # Moved in place, a parameter would keep its class.
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    create = torch.tensor

    def tensor(data: Any, *, device: Any = None, **options: Any) -> Tensor:
        """As PyTorch does it, behind what modes see: made on the CPU and moved."""
        return create(data, device='cpu', **options).to(device or torch.get_default_device())

    with (
        mock.patch.object(torch.cuda, '_lazy_init', lambda: None),
        mock.patch.object(torch, 'tensor', tensor),
        PretendCUDA() as mode,
    ):
        try:
            yield mode
        finally:
            torch.__future__.set_overwrite_module_params_on_conversion(overwrite)
