"""Doing something around the forward passes of modules, in one thread.

PyTorch's hooks take a host four times as long, which short texts on a GPU wait for, are those of all threads, and fail
where one thread removes its own while another runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from threading import Lock, get_ident
from typing import Any

from torch import nn

#: Called with a module's forward and its arguments, in place of it.
Around = Callable[..., Any]

_lock = Lock()


class _Surrounded:
    """Takes the place of a module's forward as long as some thread wants it."""

    def __init__(self, module: nn.Module) -> None:
        self.forward, self.own = module.forward, vars(module).get('forward')  # some have one of their own (accelerate)
        self.around: dict[int, Around] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        around = self.around.get(get_ident())
        return self.forward(*args, **kwargs) if around is None else around(self.forward, *args, **kwargs)


@contextmanager
def surrounded(modules: Sequence[nn.Module], around: Around) -> Iterator[None]:
    """Inside the block, ``around(forward, *args, **kwargs)`` gives what the modules do in this thread.

    A block within another one is around what the other has made of it.
    """
    thread = get_ident()
    before: list[Around | None] = []
    with _lock:
        for module in modules:
            if not isinstance(vars(module).get('forward'), _Surrounded):
                vars(module)['forward'] = _Surrounded(module)
            mine = vars(module)['forward'].around
            before.append(mine.get(thread))
            mine[thread] = around if before[-1] is None else partial(_nested, around, before[-1])
    try:
        yield
    finally:
        with _lock:
            for module, outer in reversed(list(zip(modules, before, strict=True))):
                forward = vars(module)['forward']
                del forward.around[thread]
                if outer is not None:
                    forward.around[thread] = outer
                elif not forward.around:
                    del vars(module)['forward']
                    if forward.own is not None:
                        vars(module)['forward'] = forward.own


def _nested(inner: Around, outer: Around, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return inner(partial(outer, forward), *args, **kwargs)
