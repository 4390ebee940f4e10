"""Where trained weights come from: by which config, on which data, on which LMM.

Checkpoints keep it in their ``meta``, folders for the Hub in ``config.json`` (``trained_on``) and on the model card.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

#: Names in ``trained_on``, and those of the same facts in a checkpoint's ``meta``.
FACTS = dict(fingerprint='lmm_fingerprint', revision='lmm_revision', config='trained_by', data='training_data')
#: Those of them that the model cannot tell by itself.
TRAINING = ('config', 'data')


def to_meta(trained_on: Mapping[str, str]) -> dict[str, str]:
    """What a checkpoint's ``meta`` says of it; the LMM's name stands in the config."""
    return {FACTS[name]: value for name, value in trained_on.items() if name in FACTS}


def from_meta(meta: Mapping[str, Any]) -> dict[str, str]:
    """``trained_on``, as far as a checkpoint's ``meta`` says."""
    return {name: str(meta[key]) for name, key in FACTS.items() if meta.get(key)}


def training(trained_on: Mapping[str, str]) -> dict[str, str]:
    """Of ``trained_on`` what a model is to be told: ``config`` and ``data``."""
    return {name: trained_on[name] for name in TRAINING if name in trained_on}


def of_config(config: Config) -> dict[str, str]:
    """``config``, the file's name, and ``data``, as far as the config of a run tells."""
    path = Path(config.filename or '')
    # A folder of this machine is no part of it, unless the file lies elsewhere.
    known = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    facts = dict(config=known.as_posix() if config.filename else '', data=name_data(config.get('train_dataloader')))
    return {name: value for name, value in facts.items() if value}


def of_file(config: Config) -> dict[str, str]:
    """:func:`of_config` of a config file, whose data the options of a run may have moved."""
    facts = of_config(config)
    if 'config' in facts and 'data' in facts:
        facts['data'] += f', as {facts["config"]} names it'
    return facts


def name_data(loader: Any) -> str:
    """The data sets of a data loader's config, each once, by type, root and file."""
    found: dict[str, None] = {}

    def walk(part: Any) -> None:
        if isinstance(part, (list, tuple)):
            for each in part:
                walk(each)
        elif isinstance(part, Mapping):
            walk(part.get('datasets', part.get('dataset')))
            if file := part.get('split_file', part.get('ann_file')):
                split = f', {part["split"]}' if isinstance(part.get('split'), str) else ''
                found.setdefault(f'{part.get("type")} ({Path(part.get("data_root", "")) / file}{split})')

    walk(loader)
    return ', '.join(found)
