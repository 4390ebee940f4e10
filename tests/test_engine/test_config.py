"""From arguments to a config."""

from __future__ import annotations

from pathlib import Path

import pytest

from flmm_plugin.engine.config import check_parts, existing_checkpoint, load_config
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


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'dat_root': 'x'}, "has no 'dat_root' that `dat_root=` could change: did you mean data_root"),
        ({'tset_dataloader.batch_size': 2}, 'did you mean .*test_dataloader'),
        ({'train_dataloader.dataset.datasets.5.x': 1}, 'no place for these --cfg-options: .*Index 5'),
        ({'data_root.x': 1}, 'no place for these'),
    ],
)
def test_what_the_config_has_not_is_said(config_file: str, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_config(config_file, options)
    assert load_config(config_file, {'randomness.seed': 3, 'load_from': 'x'}).randomness.seed == 3
    for name in ('find_unused_parameters', 'sync_bn', 'model_wrapper_cfg', 'efficient_conv_bn_eval'):
        assert load_config(config_file, {name: 'x'})[name] == 'x'  # what mmengine reads where it is there


def test_a_config_that_is_none(config_file: str, tmp_path: Path) -> None:
    path = tmp_path / 'broken.py'
    for text in ('a = (', 'a = 1 / 0'):
        path.write_text(text)
        with pytest.raises(UserError, match=r'config .*broken\.py cannot be read'):
            load_config(str(path))
    with pytest.raises(UserError, match=r'some_config\.py has no model, train_cfg: is it only a part'):
        check_parts(load_config(config_file), 'model', 'train_dataloader', 'train_cfg')


def test_work_dir_is_argument_then_config_then_name(config_file: str) -> None:
    assert load_config(config_file).work_dir == 'work_dirs/some_config'
    assert load_config(config_file, {'work_dir': 'of_config'}).work_dir == 'of_config'
    assert load_config(config_file, {'work_dir': 'of_config'}, 'of_argument').work_dir == 'of_argument'


def test_missing_checkpoint_is_said_at_once() -> None:
    with pytest.raises(UserError, match=r'none\.pth does not exist'):
        existing_checkpoint('none.pth')
    assert existing_checkpoint('https://host/file.pth').startswith('https')
