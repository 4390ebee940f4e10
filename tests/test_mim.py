"""An installed package carries what mim and mmengine look for under `.mim`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml
from mmengine.config import Config
from mmengine.hub import get_config

from flmm_plugin.datasets.scenes import write_scenes
from tests.test_engine.tiny_runs import ROOT

NAME = 'flmm_plugin::tiny/flmm_tiny_scenes.py'
# The config of another repository, and what `mim train` starts: a tool of the installed package.
OTHER = f"""
_base_ = ['{NAME}']
train_dataloader = dict(batch_size=1, num_workers=0, persistent_workers=False)
train_cfg = dict(max_iters=1, val_interval=9)
"""
USE = f"""
import runpy, sys
from pathlib import Path
import flmm_plugin
from mmengine.hub import get_config
package = Path(flmm_plugin.__file__).parent
assert package.parent.name == 'installed', package
assert Path(get_config('{NAME}').filename) == package / '.mim/configs/tiny/flmm_tiny_scenes.py'
sys.argv = ['train.py', 'other.py', '--work-dir', 'work', '--cfg-options', 'data_root=scenes']
runpy.run_path(str(package / '.mim/tools/train.py'), run_name='__main__')
"""


def test_configs_are_found_by_name(tmp_path: Path) -> None:
    """In this environment, whose install is an editable one."""
    config = get_config(NAME)
    assert Path(config.filename).resolve() == ROOT / 'configs' / 'tiny' / 'flmm_tiny_scenes.py'
    other = tmp_path / 'other.py'
    other.write_text(OTHER)
    inherited = Config.fromfile(other)
    assert inherited.model.pop('_scope_') == 'flmm_plugin'
    assert inherited.model == config.model and inherited.train_cfg.max_iters == 1
    name = 'llava/flmm_llava-1.5-7b_unet-sam-l_8e_refcoco-png.py'
    assert get_config(f'flmm_plugin::{name}').model == Config.fromfile(ROOT / 'configs' / name).model


def test_model_index_lists_every_config() -> None:
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']
    listed = []
    for metafile in index:
        content = yaml.safe_load((ROOT / metafile).read_text())
        collections = {collection['Name'] for collection in content['Collections']}
        for model in content['Models']:
            assert model['In Collection'] in collections and Path(model['Config']).stem == model['Name']
            listed.append(model['Config'])
    leaves = [path for path in (ROOT / 'configs').rglob('*.py') if '_base_' not in path.parts]
    assert sorted(listed) == sorted(str(path.relative_to(ROOT)) for path in leaves)


@pytest.fixture(scope='module')
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's content, as `pip install --target` leaves it."""
    source = tmp_path_factory.mktemp('source')
    for name in ('flmm_plugin', 'configs', 'tools', 'requirements'):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns('__pycache__'))
    for name in ('setup.py', 'pyproject.toml', 'README.md', 'model-index.yml'):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation', '-w', str(source), str(source)]
    built = subprocess.run(build, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert built.returncode == 0, built.stdout
    (wheel,) = source.glob('*.whl')
    folder = tmp_path_factory.mktemp('target') / 'installed'
    ZipFile(wheel).extractall(folder)
    return folder


def test_wheel_carries_configs_tools_and_index(installed: Path, tmp_path: Path) -> None:
    write_scenes(tmp_path / 'scenes', num=4, seed=0, fractions=(0.5, 0.5, 0))
    (tmp_path / 'other.py').write_text(OTHER)
    environment = {**os.environ, 'PYTHONPATH': str(installed), 'OMP_NUM_THREADS': '1'}
    done = subprocess.run(
        [sys.executable, '-c', USE],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert (tmp_path / 'work' / 'iter_1.pth').is_file()
