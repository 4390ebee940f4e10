from flmm_plugin.engine.hooks.best import CheckpointHook, EarlyStoppingHook
from flmm_plugin.engine.hooks.disk_cache import DiskCacheHook
from flmm_plugin.engine.hooks.finite_numbers import FiniteNumbersHook
from flmm_plugin.engine.hooks.frozen_check import FrozenCheckHook
from flmm_plugin.engine.hooks.metrics_json import MetricsJsonHook
from flmm_plugin.engine.hooks.presence import PresenceRuleHook
from flmm_plugin.engine.hooks.seed import SeedHook
from flmm_plugin.engine.hooks.visualization import GroundingVisualizationHook

__all__ = [
    'CheckpointHook',
    'DiskCacheHook',
    'EarlyStoppingHook',
    'FiniteNumbersHook',
    'FrozenCheckHook',
    'GroundingVisualizationHook',
    'MetricsJsonHook',
    'PresenceRuleHook',
    'SeedHook',
]
