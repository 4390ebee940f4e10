"""From arguments to a config."""

from __future__ import annotations

from pathlib import Path

import pytest

from flmm_plugin.engine.config import existing_checkpoint, load_config
from flmm_plugin.errors import UserError

TEXT = """
data_root = 'data/a'
train_dataloader = dict(dataset=dict(datasets=[dict(data_root=data_root), dict(data_root='data/b')]))
test_dataloader = dict(dataset=dict(data_root=data_root, ann_file='x.json'))
val_dataloader = test_dataloader
"""


@pytest.fixture
def config_file(tmp_path: Path) -> str:
    path = tmp_path / 'some_config.py'
    path.write_text(TEXT)
    return str(path)


def test_data_root_moves_the_data_sets_that_lie_there(config_file: str) -> None:
    config = load_config(config_file, {'data_root': '/elsewhere', 'test_dataloader.dataset.ann_file': 'y.json'})
    roots = [dataset.data_root for dataset in config.train_dataloader.dataset.datasets]
    assert roots == ['/elsewhere', 'data/b']
    assert config.test_dataloader.dataset == dict(data_root='/elsewhere', ann_file='y.json')
    assert config.val_dataloader.dataset == dict(data_root='/elsewhere', ann_file='x.json')


def test_data_root_needs_something_to_move(tmp_path: Path) -> None:
    path = tmp_path / 'config.py'
    path.write_text('a = 1')
    with pytest.raises(UserError, match='no variable data_root'):
        load_config(str(path), {'data_root': '/elsewhere'})


def test_work_dir_is_argument_then_config_then_name(config_file: str) -> None:
    assert load_config(config_file).work_dir == 'work_dirs/some_config'
    assert load_config(config_file, {'work_dir': 'of_config'}).work_dir == 'of_config'
    assert load_config(config_file, {'work_dir': 'of_config'}, 'of_argument').work_dir == 'of_argument'


def test_missing_checkpoint_is_said_at_once() -> None:
    with pytest.raises(UserError, match=r'none\.pth does not exist'):
        existing_checkpoint('none.pth')
    assert existing_checkpoint('https://host/file.pth').startswith('https')
