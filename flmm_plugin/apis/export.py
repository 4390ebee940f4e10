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
from flmm_plugin.models.weights.provenance import from_meta, of_file, to_meta


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
        about: fields of :class:`TrainedModel`; the ``training_data`` are by default what the checkpoint names, or the
            config, which options of the run may have moved.

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
    by_file = of_file(settings)
    lmm = dict(name=model['lmm'].get('pretrained', ''), fingerprint='')
    trained_on = {**lmm, **by_file, **from_meta(meta), 'config': by_file['config']}
    figures = {} if metrics is None else read_metrics(Path(metrics))
    name = Path(folder).name
    card = write_card(model, trained_on, TrainedModel(name=name, metrics=figures, **about))
    others = {name: settings[name] for name in SETTINGS if name in settings}
    write_folder(folder, tensors, model, trained_on, card, PresenceRules.beside(checkpoint), **others)
    return describe(Path(folder) / WEIGHTS, tensors)


def export_weights(folder: str, path: str) -> str:
    """Write a folder's weights to a .pth, .pt or .safetensors file that tools/test.py and ``load_from`` read."""
    if not Path(path).suffix:
        raise UserError(f'{path} is no file name: for a folder of it, name the config of {folder} by --config')
    source = HubFolder.fetch(folder)
    tensors = read_tensors(source.weights)
    write_tensors(tensors, path, meta=to_meta(source.trained_on))
    return describe(Path(path), tensors)


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
