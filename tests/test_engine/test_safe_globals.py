"""mmengine's checkpoints load with weights_only, and what could run code does not."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import load_checkpoint
from torch import nn

from flmm_plugin.engine.safe_globals import harmless_method


def history() -> HistoryBuffer:
    buffer = HistoryBuffer()
    for value in (1.0, 2.0, 4.0):
        buffer.update(value)
    return buffer


def test_log_history_survives(tmp_path: Path) -> None:
    content = dict(
        state_dict=nn.Linear(2, 2).state_dict(),
        message_hub=dict(
            log_scalars={'train/loss': history()}, runtime_info={'best': np.float64(0.5), 'n': np.int64(3)}
        ),
        meta=dict(epoch=1, iter=7, cfg='a = 1'),
        param_schedulers=[dict(last_step=3, base_values=[0.1])],
    )
    torch.save(content, tmp_path / 'checkpoint.pth')
    loaded = torch.load(tmp_path / 'checkpoint.pth', weights_only=True)
    scalars = loaded['message_hub']['log_scalars']['train/loss']
    assert scalars.mean() == pytest.approx(7 / 3) and scalars.max() == 4
    assert loaded['message_hub']['runtime_info'] == {'best': 0.5, 'n': 3}
    load_checkpoint(nn.Linear(2, 2), str(tmp_path / 'checkpoint.pth'))


class Hostile:
    def __reduce__(self) -> tuple:
        return os.mkdir, ('hostile',)


class Sneaky:
    def __reduce__(self) -> tuple:
        return getattr, (HistoryBuffer, '__init__')


@pytest.mark.parametrize('harm', [Hostile(), Sneaky()])
def test_code_is_refused(tmp_path: Path, harm: object) -> None:
    torch.save({'state_dict': harm}, tmp_path / 'checkpoint.pth')
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / 'checkpoint.pth', weights_only=True)


def test_only_harmless_methods_are_given_out() -> None:
    assert harmless_method(HistoryBuffer, 'mean') is HistoryBuffer.mean
    for owner, name in ((HistoryBuffer, '__globals__'), (dict, 'min'), ([], 'min')):
        with pytest.raises(pickle.UnpicklingError, match='not allowed'):
            harmless_method(owner, name)
