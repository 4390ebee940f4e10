# The paper's model, data and schedule; a leaf config adds the LMM. 8 GPUs with an image each make its batch of 8.
_base_ = [
    './models/flmm_unet_sam-l.py',
    './datasets/refcoco_png.py',
    './schedules/schedule_8e.py',
    './default_runtime.py',
]
# `default_hooks.checkpoint.by_epoch=False default_hooks.checkpoint.interval=2000` also keeps checkpoints within epochs.
default_hooks = dict(checkpoint=dict(by_epoch=True, interval=1))
