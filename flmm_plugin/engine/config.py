"""From a tool's arguments to the config of a run."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterator
from difflib import get_close_matches
from inspect import signature
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

from mmengine.config import Config
from mmengine.runner import Runner

from flmm_plugin.errors import UserError

#: Names of a config, besides the arguments of mmengine's Runner, that are read where they are there.
FURTHER = frozenset(
    """auto_scale_lr compile data_root png_prompt max_cache_bytes custom_imports model_wrapper_cfg
    find_unused_parameters sync_bn efficient_conv_bn_eval""".split()
)
ZIP_MAGIC = b'PK\x03\x04'


def load_config(path: str, options: dict[str, Any] | None = None, work_dir: str | None = None) -> Config:
    """Read a config file, apply ``--cfg-options`` and settle the work dir: argument, then config, then file name."""
    try:
        config = Config.fromfile(path)
    except FileNotFoundError:
        raise
    except Exception as error:  # whatever the Python of a config raises
        raise UserError(f'The config {path} cannot be read: {type(error).__name__}: {error}') from error
    apply_options(config, options or {})
    if work_dir is not None:
        config.work_dir = work_dir
    elif config.get('work_dir') is None:
        config.work_dir = os.path.join('work_dirs', Path(path).stem)
    return config


def apply_options(config: Config, options: dict[str, Any]) -> None:
    """Merge ``options``; ``data_root=FOLDER`` moves every data set that lies in the config's ``data_root``.

    mmengine has copied the variable into the data sets by the time options are merged: setting it alone does nothing.
    """
    before = config.get('data_root')
    check_names(config, options)
    try:
        config.merge_from_dict(options)
    except Exception as error:  # an index that is no number or beyond its list, a field of what is no dict
        raise UserError(f'{config.filename} has no place for these --cfg-options: {error}') from error
    if 'data_root' in options:
        if before is None:
            raise UserError(
                f'{config.filename} has no variable data_root that `data_root={options["data_root"]}` could change.'
            )
        for dataset in _with_data_root(config._cfg_dict):
            if dataset['data_root'] == before:
                dataset['data_root'] = options['data_root']


def check_names(config: Config, options: dict[str, Any]) -> None:
    """Refuse options that begin with a name which neither the config nor a run has: mmengine would quietly add it."""
    known = {*config, *signature(Runner.__init__).parameters, *FURTHER}
    for key in options:
        name = key.split('.')[0]
        if name not in known:
            close = get_close_matches(name, known, n=3, cutoff=0.5)
            hint = f'did you mean {" or ".join(close)}?' if close else f'it has: {", ".join(sorted(config))}.'
            raise UserError(f'{config.filename} has no {name!r} that `{key}=` could change: {hint}')


def check_parts(config: Config, *names: str) -> None:
    """Refuse a config that lacks what a tool runs, such as one that others inherit from."""
    missing = [name for name in names if config.get(name) is None]
    if missing:
        raise UserError(f'{config.filename} has no {", ".join(missing)}: is it only a part that other configs inherit?')


def check_data_folders(config: Config, *loaders: str) -> None:
    """Say that a data folder is missing before minutes go by on building the model; files are the data sets' to check.

    ``loaders``: whose data sets are looked at, for example 'train_dataloader'.
    """
    datasets = _with_data_root([config.get(loader) for loader in loaders])
    for root in sorted({dataset['data_root'] for dataset in datasets if isinstance(dataset['data_root'], str)}):
        if '://' not in root and not os.path.isdir(root):
            raise UserError(
                f'The data folder {root} (data_root in {config.filename}) does not exist. docs/data.md says what '
                'belongs there; another place is named by `--cfg-options data_root=FOLDER`.'
            )


def _with_data_root(node: Any) -> Iterator[dict]:
    """Every dict below ``node``, itself among them, that has a ``data_root``."""
    if isinstance(node, dict):
        if 'data_root' in node:
            yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for value in node:
            yield from _with_data_root(value)


def existing_checkpoint(path: str) -> str:
    """``path`` if it is a whole file or a URL; what is wrong is said before minutes go by on building the model."""
    if '://' in path:
        return path
    if not os.path.isfile(path):
        raise UserError(
            f'The checkpoint {path} does not exist. Training writes checkpoints to its work dir, and the name of the '
            'newest to `last_checkpoint` there.'
        )
    if is_cut_off(path):
        raise UserError(f'The checkpoint {path} is cut off: copy or download it again.')
    return path


def newest_checkpoint(work_dir: str) -> str | None:
    """The checkpoint to resume from: the one that `last_checkpoint` names, or else the newest that is whole.

    A run that was killed may leave the last one cut off; a moved work dir makes the name in `last_checkpoint` wrong.
    """
    folder = Path(work_dir)
    names = sorted((*folder.glob('iter_*.pth'), *folder.glob('epoch_*.pth')), key=os.path.getmtime, reverse=True)
    if (folder / 'last_checkpoint').is_file():
        names.insert(0, Path((folder / 'last_checkpoint').read_text().strip()))
    for path in names:
        if path.is_file() and not is_cut_off(str(path)):
            return str(path)
    return None


def is_cut_off(path: str) -> bool:
    """Whether the file begins like a checkpoint, a zip archive, and lacks the directory at an archive's end."""
    with open(path, 'rb') as file:
        start = file.read(len(ZIP_MAGIC))
    return not start or (start == ZIP_MAGIC and not is_zipfile(path))


def set_local_rank(args: Namespace) -> None:
    """Launchers give the local rank as an argument or in the environment; mmengine reads the latter."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
