"""The model of an inferencer: built, loaded, on its device."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint

from flmm_plugin.engine.config import existing_checkpoint
from flmm_plugin.errors import UserError
from flmm_plugin.models.weights.provenance import from_meta, of_file, training
from flmm_plugin.models.weights.trained_state import check_lmm
from flmm_plugin.models.weights.untrained import needs_checkpoint
from flmm_plugin.registry import MODELS


def load_model(config: Config, checkpoint: str | Path | None, device: str, **lmm: Any) -> Any:
    """The model in evaluation mode.

    Args:
        checkpoint: None or ``'none'`` for a model with nothing to train.
        lmm: arguments of :func:`lmm_options`.
    """
    trained = needs_checkpoint(config.model, checkpoint)
    path = existing_checkpoint(str(checkpoint)) if trained else None
    init_default_scope(config.get('default_scope', 'flmm_plugin'))
    options = lmm_options(device, config=config.model['lmm'], **lmm)
    model = MODELS.build({**config.model, 'lmm': {**config.model['lmm'], **options}})
    if path is not None:
        loaded = load_checkpoint(model, path, map_location='cpu', logger='silent')
        check_lmm(model, loaded)
        model.provenance = of_file(config) | training(from_meta(loaded.get('meta', {})))
    return model.to(device).eval()


def lmm_options(
    device: str, dtype: str | None, load_in_4bit: bool, load_in_8bit: bool, config: Mapping[str, Any]
) -> dict[str, Any]:
    """What the arguments of :class:`FLMMInferencer` change in the LMM's config.

    Raises:
        UserError: both quantisations are asked for, or bitsandbytes is not installed.
    """
    options: dict[str, Any] = {}
    if dtype is not None:
        options['dtype'] = dtype
    elif device.startswith('cuda') and 'dtype' not in config:
        options['dtype'] = 'bfloat16'
    if load_in_4bit and load_in_8bit:
        raise UserError('load_in_4bit and load_in_8bit exclude each other: choose one')
    if load_in_4bit or load_in_8bit:
        if find_spec('bitsandbytes') is None:
            raise UserError('load_in_4bit and load_in_8bit need bitsandbytes, which is not installed: pip install it')
        options['quantization'] = dict(load_in_4bit=load_in_4bit, load_in_8bit=load_in_8bit)
    return options
