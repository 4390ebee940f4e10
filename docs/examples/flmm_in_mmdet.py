# FLMM in an MMDetection project: mmdet's runtime, hooks, visualizer and metric, this package's model and data.
_base_ = [
    'mmdet::_base_/default_runtime.py',
    'flmm_plugin::_base_/models/flmm_tiny.py',
    'flmm_plugin::_base_/datasets/scenes.py',
]
custom_hooks = [dict(type='flmm_plugin.FrozenCheckHook')]
# For several GPUs: images are to stay on the CPU, where the model preprocesses them.
model_wrapper_cfg = dict(type='MMDistributedDataParallel', device_ids=None, find_unused_parameters=True)

train_dataloader = dict(sampler=dict(type='DefaultSampler'))
val_evaluator = [dict(type='RefSegMetric', metric=['cIoU', 'mIoU'])]
test_evaluator = val_evaluator

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=2)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3), clip_grad=dict(max_norm=1.0))
