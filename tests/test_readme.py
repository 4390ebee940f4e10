"""The README's commands run, in its order, with fewer scenes and iterations."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / 'README.md').read_text()
SMALLER = {
    '--num 2000': '--num 30',
    '--num 300': '--num 4',
    '--work-dir work_dirs/tiny ': '--work-dir work_dirs/tiny --cfg-options train_cfg.max_iters=2 ',
    'iter_1000': 'iter_2',
}


def blocks(language: str) -> list[str]:
    return re.findall(rf'```{language}\n(.*?)```', README, re.DOTALL)


def commands(start: str) -> list[str]:
    return [line for block in blocks('bash') for line in block.splitlines() if line.startswith(start)]


def shortened(command: str) -> str:
    for long, short in SMALLER.items():
        command = f'{command} '.replace(long, short).strip()
    return command


def test_make_targets_exist():
    targets = [shlex.split(command, comments=True)[1] for command in commands('make ')]
    assert {'setup', 'test', 'demo'} <= set(targets)
    for target in targets:
        subprocess.run(['make', '--dry-run', target], cwd=ROOT, check=True, capture_output=True)


def test_links_and_pictures_exist():
    linked = re.findall(r'\]\((?!http)([^)#]+)', README)
    assert len(linked) > 3
    assert [path for path in linked if not (ROOT / path).exists()] == []


def test_commands_and_code_run(tmp_path):
    for name in ('tools', 'configs', 'docs'):
        (tmp_path / name).symlink_to(ROOT / name)
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}
    lines = commands('python tools/')
    assert len(lines) == 6
    steps = [[sys.executable, *shlex.split(shortened(line))[1:]] for line in lines]
    (code,) = blocks('python')
    steps.append([sys.executable, '-c', shortened(code)])
    for step in steps:
        done = subprocess.run(step, cwd=tmp_path, env=environment, capture_output=True, text=True)
        if done.returncode:
            pytest.fail(f'{shlex.join(step)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}')
    assert (tmp_path / 'work_dirs/tiny/test/metrics.json').exists()
    assert list((tmp_path / 'work_dirs/tiny/test').glob('*/pictures/*.png'))
    assert 'the ' in done.stdout
