"""docs/model_zoo.md names every config of the paper's LMMs, and its commands are valid."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest
from mmengine.config import Config, DictAction

from flmm_plugin.engine.config import load_config

ROOT = Path(__file__).resolve().parents[1]
ZOO = (ROOT / 'docs' / 'model_zoo.md').read_text()
CONFIGS = sorted(path for path in (ROOT / 'configs').glob('[!_]*/*_unet-sam-l_8e_*.py'))
LINES = [line for block in re.findall(r'```bash\n(.*?)```', ZOO, re.DOTALL) for line in block.splitlines()]


def options(line: str) -> dict:
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    return parser.parse_known_args(shlex.split(line))[0].cfg_options or {}


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_every_config_has_its_lmm_and_its_test_command(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    (row,) = (line for line in ZOO.splitlines() if line.startswith('|') and name in line)
    lmm = Config.fromfile(path).model.lmm
    assert f'`{lmm.pretrained}`' in row
    if lmm.type == 'AutoLMM':  # the authors trained none of them
        return
    checkpoint = re.search(r'`(frozen_\w+)`', row)
    assert checkpoint is not None
    assert f'python tools/test.py {name} checkpoints/{checkpoint[1]}.pth' in LINES


def test_what_the_commands_name_exists() -> None:
    for line in LINES:
        for word in shlex.split(line):
            if word.startswith(('tools/', 'configs/')):
                assert (ROOT / word).is_file(), line


def test_links_exist() -> None:
    for path in re.findall(r'\]\((?!http)([^)#]+)', ZOO):
        assert (ROOT / 'docs' / path).exists(), path


def test_all_splits_are_tested_by_one_option() -> None:
    (line,) = (line for line in LINES if '--cfg-options' in line and 'split' in line)
    config = load_config(shlex.split(line)[2], options(line))
    splits = [dataset.get('split') for dataset in config.test_dataloader.dataset.datasets]
    assert splits == [None, ['val', 'testA', 'testB'], ['val', 'testA', 'testB'], ['val', 'test']]
    assert config.val_dataloader.dataset.datasets[1].split == 'val'
