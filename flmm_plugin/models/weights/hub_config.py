"""``config.json`` of a folder for the Hub: how it is written and read, and what in it is refused.

Nothing that it says may run code: types are names that are registered, and keys that mmengine and transformers take
as leave to import are none of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from inspect import signature
from pathlib import Path
from typing import Any

import flmm_plugin
from flmm_plugin.errors import UserError
from flmm_plugin.models.capture.heads import read_heads
from flmm_plugin.plain_json import to_json
from flmm_plugin.registry import MODELS

#: Raised when a folder says what earlier releases cannot read.
FORMAT = 1
#: What the inferencer reads of a config besides the model.
SETTINGS = ('png_prompt', 'max_cache_bytes')
#: What a config says of the machine it was used on.
LOCAL = ('map_folder', 'exact_maps', 'feature_folder', 'exact_features', 'device_map', 'cache_size')


class HubFolderError(UserError, ValueError):
    """A folder that holds no model of this package, or more than one may hold."""


def portable(model: Mapping[str, Any]) -> dict[str, Any]:
    """A model's config for other machines: heads as numbers, no folders of caches."""
    plain = without_local({name: value for name, value in model.items() if value is not None})
    if isinstance(plain['lmm'].get('heads'), (str, Path)):
        plain['lmm']['heads'] = read_heads(Path(plain['lmm']['heads']))['heads']
    try:
        written = json.loads(to_json(plain))
    except TypeError as error:
        raise HubFolderError(f'the config of the model cannot be written to config.json: {error}') from error
    check_safe(written, 'the config of the model')
    return written


def without_local(model: Mapping[str, Any]) -> dict[str, Any]:
    """A model's config without what concerns one machine: another's folders are none that may be written to."""
    parts = {part: model[part] for part in ('lmm', 'refiner') if isinstance(model.get(part), Mapping)}
    kept = {part: {name: value for name, value in of.items() if name not in LOCAL} for part, of in parts.items()}
    return {**model, **kept}


def read_config(path: Path) -> dict[str, Any]:
    """What a ``config.json`` says.

    Raises:
        HubFolderError: damaged, another program's, of a newer format, or it asks for what may run code.
    """
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:
        raise HubFolderError(f'{path} is not JSON ({error}): copy or download it again') from error
    known = isinstance(content, dict) and type(content.get('format')) is int  # true is an int, too
    model = content.get('model') if known else None
    if not isinstance(model, dict) or not all(isinstance(model.get(part), dict) for part in ('lmm', 'mask_head')):
        raise HubFolderError(f'{path} is no config of a model of flmm_plugin: it has no `format` or no `model`')
    if content['format'] > FORMAT:
        raise HubFolderError(
            f'{path} is of format {content["format"]}, written by flmm_plugin {content.get("flmm_plugin_version")}; '
            f'this release ({flmm_plugin.__version__}) reads up to {FORMAT}: upgrade flmm_plugin'
        )
    trained_on = content.get('trained_on')
    if not isinstance(trained_on, dict) or not all(isinstance(value, str) for value in trained_on.values()):
        raise HubFolderError(f'{path} does not say which LMM it was trained on (`trained_on`): download it again')
    check_safe(model, str(path))
    check_arguments(model, path)
    return {**content, 'model': without_local(model)}


def check_arguments(model: Mapping[str, Any], path: Path) -> None:
    """Raise :class:`HubFolderError` if the model, or a part of it, does not take what its config names."""
    kind = model.get('type')
    if kind not in MODELS.module_dict:
        raise HubFolderError(f'{path} is no config of a model of flmm_plugin: its type is {kind!r}')
    for part in _dicts(dict(model)):
        kind = part.get('type')
        if kind not in MODELS.module_dict:  # a loss of mmdet's
            continue
        given = {name: value for name, value in part.items() if name != 'type'}
        takes = signature(MODELS.module_dict[kind].__init__)
        try:
            # Parts are given more by the model.
            (takes.bind if part == model else takes.bind_partial)(None, **given)
        except TypeError as error:
            raise HubFolderError(
                f'{path}: {kind} of this release ({flmm_plugin.__version__}) does not take what is said of it '
                f'({error}): was it written by another release or by hand, or is it misspelt in what changes it?'
            ) from error


def check_safe(model: Mapping[str, Any], source: str) -> None:
    """Raise :class:`HubFolderError` where a model's config could lead to code other than this package's and mmdet's
    losses."""
    for node in _dicts(model):
        # mmengine imports what it finds no type for, and the registry of every `_scope_`.
        if 'type' in node and not (isinstance(node['type'], str) and _is_registered(node['type'])):
            raise HubFolderError(
                f'{source} asks for a model of type {node["type"]!r}, and there is none in the registries'
            )
        for key in node:
            if key.startswith('_') or key == 'trust_remote_code':
                raise HubFolderError(
                    f'{source} sets {key!r}, by which code could be run, and a folder may not: take it out. What an '
                    'LMM needs on this machine is given on loading: lmm=dict(...)'
                )


def _dicts(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list):
        for value in node:
            yield from _dicts(value)


def _is_registered(kind: str) -> bool:
    """Whether it names a model of this package, or looks like one of mmdet's losses: other models of mmdet read config
    files and pickles that their arguments name."""
    MODELS.import_from_location()
    scope, _, name = kind.rpartition('.')
    return kind in MODELS.module_dict or (scope == 'mmdet' and name.isidentifier() and name.endswith('Loss'))
