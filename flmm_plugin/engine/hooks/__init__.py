from flmm_plugin.engine.hooks.disk_cache import DiskCacheHook
from flmm_plugin.engine.hooks.frozen_check import FrozenCheckHook
from flmm_plugin.engine.hooks.metrics_json import MetricsJsonHook
from flmm_plugin.engine.hooks.seed import SeedHook
from flmm_plugin.engine.hooks.visualization import GroundingVisualizationHook

__all__ = ['DiskCacheHook', 'FrozenCheckHook', 'GroundingVisualizationHook', 'MetricsJsonHook', 'SeedHook']
