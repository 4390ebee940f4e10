"""The plugin for lmms-eval: ``--model flmm``. An entry point names :func:`manifest`; lmms-eval itself is an extra."""

from __future__ import annotations

from typing import Any


def manifest() -> Any:
    """What lmms-eval's registry wants to know."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(model_id='flmm', simple_class_path='flmm_plugin.lmms_eval.model.FLMMModel')
