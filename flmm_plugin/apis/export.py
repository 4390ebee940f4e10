"""From checkpoints to folders for the Hub, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor

from flmm_plugin.engine.config import existing_checkpoint
from flmm_plugin.errors import UserError
from flmm_plugin.models.presence import PresenceRules
from flmm_plugin.models.weights.checkpoints import find_tensors, read_tensors, trained_part, write_tensors
from flmm_plugin.models.weights.hub_config import SETTINGS, portable
from flmm_plugin.models.weights.hub_folder import WEIGHTS, HubFolder, write_folder
from flmm_plugin.models.weights.model_card import TrainedModel, write_card

#: How what is in a folder is tested by the config that it was trained by.
REPEAT = 'python tools/export.py {name} {name}.pth\npython tools/test.py {config} {name}.pth'


def export_folder(
    checkpoint: str, folder: str, config: str, metrics: str | None = None, half: bool = False, **about: Any
) -> str:
    """Write a folder that ``from_pretrained`` reads; the model is not built, so that the LMM need not be at hand.

    The checkpoint's presence rules go with it.

    Args:
        checkpoint: a .pth, .pt or .safetensors file, or a folder of DeepSpeed.
        config: the config file it was trained by.
        metrics: a ``metrics.json``; its numbers stand in the model card.
        half: write the weights in half precision.
        about: fields of :class:`TrainedModel`; the ``command`` is by default the one that tests it by its config, the
            ``training_data`` what the config names, which options of the run may have moved.

    Returns:
        What was written, in a sentence.
    """
    source = Path(checkpoint)
    settings = Config.fromfile(config)
    if source.is_dir():
        tensors, meta = read_tensors(source), {}
    else:
        content = CheckpointLoader.load_checkpoint(existing_checkpoint(checkpoint), 'cpu', logger='silent')
        tensors, meta = find_tensors(content, source), content.get('meta', {})
    tensors = trained_part(tensors)
    if half:
        tensors = {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}
    model = portable(settings.model.to_dict())
    trained_on = dict(name=model['lmm'].get('pretrained', ''), fingerprint=meta.get('lmm_fingerprint', ''))
    if meta.get('lmm_revision'):
        trained_on['revision'] = meta['lmm_revision']
    figures = {} if metrics is None else read_metrics(Path(metrics))
    name = Path(folder).name
    about['command'] = about.get('command') or REPEAT.format(name=name, config=config)
    named = name_data(settings.get('train_dataloader'))
    about['training_data'] = about.get('training_data') or (f'{named}, as {config} names it' if named else 'not stated')
    card = write_card(model, trained_on, TrainedModel(name=name, metrics=figures, **about))
    others = {name: settings[name] for name in SETTINGS if name in settings}
    write_folder(folder, tensors, model, trained_on, card, PresenceRules.beside(checkpoint), **others)
    return describe(Path(folder) / WEIGHTS, tensors)


def export_weights(folder: str, path: str) -> str:
    """Write a folder's weights to a .pth, .pt or .safetensors file that tools/test.py and ``load_from`` read."""
    if not Path(path).suffix:
        raise UserError(f'{path} is no file name: for a folder of it, name the config of {folder} by --config')
    source = HubFolder.fetch(folder)
    tensors, trained_on = read_tensors(source.weights), source.content['trained_on']
    known = {f'lmm_{what}': trained_on[what] for what in ('fingerprint', 'revision') if what in trained_on}
    write_tensors(tensors, path, meta=known)
    return describe(Path(path), tensors)


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


def read_metrics(path: Path) -> dict[str, float]:
    """The numbers of a ``metrics.json``."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f'the metrics {path} cannot be read ({error}): tools/test.py writes metrics.json') from error
    numbers = content if isinstance(content, Mapping) else {}
    return {name: float(value) for name, value in numbers.items() if isinstance(value, (int, float))}


def describe(path: Path, tensors: Mapping[str, Tensor]) -> str:
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) / 1e6
    return f'{path}: {len(tensors)} tensors, {size:.1f} MB'
