"""Modules are as they were afterwards, and threads do not see what others do."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch

from flmm_plugin.models.capture.around import surrounded


def test_modules_are_as_they_were_afterwards() -> None:
    """Also those whose forward is not their class's, as accelerate has it, and where the block fails."""
    plain, own = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)  # and one comes twice
    forward = vars(own)['forward'] = lambda x: x + 1
    x = torch.zeros(1, 2)
    with pytest.raises(ZeroDivisionError), surrounded([plain, own, own], lambda forward, x: forward(x) + 10):
        assert torch.equal(own(x), x + 21) and torch.equal(plain(x), plain.bias.detach()[None] + 10)
        raise ZeroDivisionError
    assert vars(own)['forward'] is forward and 'forward' not in vars(plain)
    assert torch.equal(own(x), x + 1) and torch.equal(plain(x), plain.bias.detach()[None])


def test_blocks_within_blocks() -> None:
    module, x = torch.nn.Identity(), torch.zeros(1)
    with surrounded([module], lambda forward, x: forward(x) + 1):
        with surrounded([module], lambda forward, x: forward(x) * 10):
            assert module(x) == 10
        assert module(x) == 1
    assert module(x) == 0 and 'forward' not in vars(module)


def test_threads_begin_and_end_in_any_order() -> None:
    module, x, together = torch.nn.Identity(), torch.zeros(1), Barrier(3)

    def first() -> list[float]:
        with surrounded([module], lambda forward, x: forward(x) + 1):
            together.wait()
            seen = [module(x).item()]
            together.wait()
        together.wait()
        return [*seen, module(x).item()]

    def second() -> list[float]:
        together.wait()
        with surrounded([module], lambda forward, x: forward(x) + 2):
            seen = [module(x).item()]
            together.wait()
            together.wait()  # the first one has ended
            return [*seen, module(x).item()]

    def bystander() -> list[float]:
        seen = []
        for _ in range(3):
            together.wait()
            seen.append(module(x).item())
        return seen

    with ThreadPoolExecutor(3) as pool:
        found = [pool.submit(run) for run in (first, second, bystander)]
        assert [one.result() for one in found] == [[1, 0], [2, 2], [0, 0, 0]]
    assert 'forward' not in vars(module)
