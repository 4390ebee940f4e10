"""The commands of docs/own_data.md, on 20 pictures laid out as it says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data_files import write_image

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / 'docs' / 'own_data.md').read_text()
COMMANDS = re.findall(r'^python .*$', PAGE, re.MULTILINE)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the page's config and 20 pictures, beside the project's tools and configs."""
    for name in ('tools', 'configs'):
        (tmp_path / name).symlink_to(ROOT / name)
    (config,) = re.findall(r'```python\n(.*?)```', PAGE, re.DOTALL)
    (tmp_path / 'my_config.py').write_text(config)
    for number in range(20):
        folder, stem = tmp_path / 'data/mine' / ('train' if number < 16 else 'val'), f'{number:04d}'
        write_image(folder / 'pictures' / f'{stem}.{"jpg" if number % 2 else "png"}', number, 48, 64)
        mask = np.zeros((48, 64), np.uint8)
        mask[10:30, number : number + 20] = 255
        (folder / 'masks' / stem).mkdir(parents=True)
        Image.fromarray(mask).save(folder / 'masks' / stem / 'the red car.png')
    return tmp_path


def run(project: Path, command: str) -> str:
    words = shlex.split(command.replace('data_root=data/mine', 'data_root=data/mine train_cfg.max_iters=2'))
    words = [word.replace('iter_1000', 'iter_2') for word in words]
    done = subprocess.run([sys.executable, *words[1:]], cwd=project, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_data_are_checked(project: Path) -> None:
    assert len(COMMANDS) == 3
    printed = run(project, COMMANDS[0])
    assert 'no problem found' in printed and re.search(r'mine +phrases +16', printed)
    assert (project / 'work_dirs/mine/sheet.png').is_file()


@pytest.mark.slow
def test_training_and_testing(project: Path) -> None:
    printed = [run(project, command) for command in COMMANDS[1:]]
    assert 'res/mine/concat/first_sentence/cIoU' in printed[-1]
