from flmm_plugin.engine.accumulation import AmpOptimWrapper, OptimWrapper
from flmm_plugin.engine.hooks import (
    CheckpointHook,
    DiskCacheHook,
    EarlyStoppingHook,
    FiniteNumbersHook,
    FrozenCheckHook,
    GroundingVisualizationHook,
    MetricsJsonHook,
    SeedHook,
)
from flmm_plugin.engine.loops import ResumableEpochLoop, ResumableIterLoop
from flmm_plugin.engine.param_groups import MergedOptimWrapperConstructor
from flmm_plugin.engine.safe_globals import allow_mmengine_checkpoints

__all__ = [
    'AmpOptimWrapper',
    'CheckpointHook',
    'DiskCacheHook',
    'EarlyStoppingHook',
    'FiniteNumbersHook',
    'FrozenCheckHook',
    'GroundingVisualizationHook',
    'MergedOptimWrapperConstructor',
    'MetricsJsonHook',
    'OptimWrapper',
    'ResumableEpochLoop',
    'ResumableIterLoop',
    'SeedHook',
]

# This package is imported when the first hook is looked up, hence before any checkpoint is read.
allow_mmengine_checkpoints()
