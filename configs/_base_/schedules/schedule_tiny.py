# Minutes on two CPU cores. `--cfg-options max_iters=N` alone does not move the schedulers: change this file.
max_iters = 1000
warmup_iters = 40

train_cfg = dict(type='ResumableIterLoop', max_iters=max_iters, val_interval=max_iters)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    # Fused: half the time of an update on a CPU (torch 2.4 and later).
    optimizer=dict(type='AdamW', lr=1.2e-3, betas=(0.9, 0.99), weight_decay=0.01, fused=True),
    constructor='MergedOptimWrapperConstructor',
    paramwise_cfg=dict(custom_keys={'sam': dict(lr_mult=0.4)}),  # it can segment already
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=warmup_iters),
    dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False, begin=warmup_iters, end=max_iters),
]
auto_scale_lr = dict(enable=False, base_batch_size=2)
