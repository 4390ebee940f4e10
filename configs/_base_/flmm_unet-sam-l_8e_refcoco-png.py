# The paper's model, data and schedule; a leaf config adds the LMM. 8 GPUs with an image each make its batch of 8.
_base_ = [
    './models/flmm_unet_sam-l.py',
    './datasets/refcoco_png.py',
    './schedules/schedule_8e.py',
    './default_runtime.py',
]
# An epoch-based run is resumed at the beginning of an epoch.
default_hooks = dict(checkpoint=dict(by_epoch=True, interval=1))
