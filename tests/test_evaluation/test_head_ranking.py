"""Heads ranked by their maps' overlap with the truth."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch

from flmm_plugin.datasets.scenes import write_scenes
from flmm_plugin.evaluation.head_ranking import order
from flmm_plugin.evaluation.raw_attention import score_raw_attention

ROOT = Path(__file__).resolve().parents[2]


def test_the_head_that_shows_the_mask_comes_first() -> None:
    """Two grids of three heads: head 2 shows the mask on the second grid, head 1 a half of it."""
    torch.manual_seed(0)
    truth = torch.zeros(1, 8, 8, dtype=torch.bool)
    truth[:, 2:6, 2:6] = True
    half = truth.clone()
    half[:, 4:] = False
    maps = torch.rand(1, 6, 8, 8) * 0.01
    maps[0, 5] += truth[0]
    maps[0, 1] += half[0]
    heads, iou = order(score_raw_attention([(maps, truth, torch.tensor([True]))]), num_grids=2)
    assert heads == [2, 1, 0]
    assert iou[0] == 1 and abs(iou[1] - 0.5) < 1e-6 and iou[2] < 0.5


def test_tool_writes_heads_that_the_config_takes(tmp_path: Path) -> None:
    write_scenes(tmp_path / 'scenes', 4, seed=0, fractions=(1, 0, 0))
    command = [sys.executable, 'tools/select_heads.py', 'configs/tiny/flmm_tiny_scenes.py', '--samples', '3']
    options = ['--cfg-options', f'data_root={tmp_path / "scenes"}']

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *arguments, *options], cwd=ROOT, capture_output=True, text=True)

    done = run('--num', '4', '--out', str(tmp_path / 'heads.json'))
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / 'heads.json').read_text())
    assert len(content['heads']) == len(set(content['heads'])) == 4
    assert content['iou'] == sorted(content['iou'], reverse=True)
    assert 'heads; IoU of the best' in done.stdout
    refused = run('--num', '10000', '--out', str(tmp_path / 'none.json'))
    assert refused.returncode == 1 and '--num must be from 1 to' in refused.stderr
    assert not (tmp_path / 'none.json').exists()
