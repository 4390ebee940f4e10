default_scope = 'flmm_plugin'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=20, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=500, max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='GroundingVisualizationHook'),
)
custom_hooks = [
    dict(type='SeedHook'),
    dict(type='FiniteNumbersHook'),
    dict(type='FrozenCheckHook'),
    dict(type='MetricsJsonHook'),
    dict(type='DiskCacheHook'),
]

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
# Parts of SAM's prompt encoder and decoder (points, the IoU head) take no part in the loss. Without device_ids images
# stay on the CPU, where the model preprocesses them, and several processes run where there is no GPU.
model_wrapper_cfg = dict(
    type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False, find_unused_parameters=True
)

# For TensorBoard: `--cfg-options visualizer.vis_backends.0.type=TensorboardVisBackend`.
visualizer = dict(type='GroundingVisualizer', vis_backends=[dict(type='LocalVisBackend')])
log_processor = dict(by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0)
