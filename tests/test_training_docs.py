"""What docs/training.md names exists: files, and keys of the configs."""

from __future__ import annotations

import re
from pathlib import Path

from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / 'docs' / 'training.md').read_text()


def test_files_exist() -> None:
    names = set(re.findall(r'\b(?:tools|tests|docs)/[\w/.-]+\w', PAGE))
    assert len(names) > 6
    for name in names:
        assert (ROOT / name).is_file(), name


#: Arguments of MMEngine's own that no config of ours spells out.
OPTIONAL = ('optim_wrapper.accumulative_counts', 'optim_wrapper.dtype', 'default_hooks.checkpoint.save_best')


def test_options_are_keys_of_the_tiny_config() -> None:
    config = Config.fromfile(ROOT / 'configs' / 'tiny' / 'flmm_tiny_scenes.py')
    options = re.findall(r'((?:default_hooks|visualizer|env_cfg|train_cfg|optim_wrapper|auto_scale_lr)[.\w]+)', PAGE)
    assert len(set(options)) > 6
    for option in options:
        node = config
        for key in option.split('.')[:-1]:
            node = node[int(key)] if key.isdigit() else node[key]
        # Of what a hook or an optimizer wrapper may be given, a config spells out what it changes.
        given = option.startswith('default_hooks.visualization.') or option in OPTIONAL
        assert option.split('.')[-1] in node or given, option
