from __future__ import annotations

import datetime
import runpy
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.runner.checkpoint import CheckpointLoader

from flmm_plugin.errors import UserError
from flmm_plugin.models.weights.checkpoints import read_tensors, trained_part, write_tensors

TENSORS = {'mask_head.conv_seg.bias': torch.tensor([1.5]), 'text_layer_weights': torch.arange(3.0)}
FORMS: dict[str, Any] = {
    'plain': TENSORS,
    'mmengine': dict(meta=dict(epoch=1), state_dict=TENSORS),
    'ddp': {f'module.{name}': tensor for name, tensor in TENSORS.items()},
    'ddp_in_mmengine': dict(state_dict={f'module.{name}': tensor for name, tensor in TENSORS.items()}),
    'deepspeed': dict(module=TENSORS, ds_version='0.16', global_steps=10),
}


def same(tensors: dict[str, torch.Tensor]) -> bool:
    return tensors.keys() == TENSORS.keys() and all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


@pytest.mark.parametrize('form', sorted(FORMS))
def test_forms_of_published_checkpoints(tmp_path: Path, form: str) -> None:
    torch.save(FORMS[form], tmp_path / 'model.pth')
    assert same(read_tensors(tmp_path / 'model.pth'))


def test_deepspeed_folder(tmp_path: Path) -> None:
    torch.save(FORMS['deepspeed'], tmp_path / 'mp_rank_00_model_states.pt')
    assert same(read_tensors(tmp_path))


@pytest.mark.parametrize('suffix', ['.safetensors', '.pth', '.pt'])
def test_written_files_are_read_by_us_and_by_mmengine(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f'model{suffix}'
    write_tensors(TENSORS, path)
    assert same(read_tensors(path))
    loaded = CheckpointLoader.load_checkpoint(str(path), map_location='cpu')
    assert same(loaded.get('state_dict', loaded))


def test_unknown_suffix(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r'ends in \.safetensors'):
        write_tensors(TENSORS, tmp_path / 'model.bin')


def test_only_plain_data_is_unpickled(tmp_path: Path) -> None:
    torch.save(dict(state_dict=TENSORS, when=datetime.date(2024, 1, 1)), tmp_path / 'model.pth')
    with pytest.raises(UserError, match=r'model\.pth holds more than tensors.*datetime\.date'):
        read_tensors(tmp_path / 'model.pth')


def test_file_without_a_state_dict(tmp_path: Path) -> None:
    torch.save(dict(meta=dict(epoch=1)), tmp_path / 'model.pth')
    with pytest.raises(UserError, match='holds no state dict'):
        read_tensors(tmp_path / 'model.pth')


def test_frozen_parts_are_left_out() -> None:
    frozen = ('llava.lm_head.weight', 'deepseek_vl.x', 'lmm.model.y', 'sam.model.image_encoder.pos_embed')
    assert same(trained_part({**TENSORS, **dict.fromkeys(frozen, torch.zeros(1))}))


def test_tool_converts_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tool = Path(__file__).resolve().parents[3] / 'tools/convert_checkpoint.py'
    torch.save(dict(state_dict={**TENSORS, 'llava.lm_head.weight': torch.zeros(9)}), tmp_path / 'theirs.pth')
    for src, dst in pairwise(['theirs.pth', 'small.safetensors', 'back.pth']):
        monkeypatch.setattr(sys, 'argv', [str(tool), str(tmp_path / src), str(tmp_path / dst)])
        runpy.run_path(str(tool), run_name='__main__')
        assert '2 tensors' in capsys.readouterr().out
    assert same(read_tensors(tmp_path / 'back.pth'))
