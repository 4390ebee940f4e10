from flmm_plugin.engine.hooks.feature_cache import FeatureCacheHook
from flmm_plugin.engine.hooks.frozen_check import FrozenCheckHook
from flmm_plugin.engine.hooks.metrics_json import MetricsJsonHook
from flmm_plugin.engine.hooks.seed import SeedHook
from flmm_plugin.engine.hooks.visualization import GroundingVisualizationHook

__all__ = ['FeatureCacheHook', 'FrozenCheckHook', 'GroundingVisualizationHook', 'MetricsJsonHook', 'SeedHook']
