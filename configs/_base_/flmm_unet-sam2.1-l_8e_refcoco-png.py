# The paper's data and schedule with SAM 2.1 as the refiner; a leaf config adds the LMM.
_base_ = [
    './models/flmm_unet_sam2.1-l.py',
    './datasets/refcoco_png.py',
    './schedules/schedule_8e.py',
    './default_runtime.py',
]
default_hooks = dict(checkpoint=dict(by_epoch=True, interval=1))
