# LLaVA-1.5-7B on the paper's data and schedule.
_base_ = [
    '../_base_/models/flmm_unet_sam-l.py',
    '../_base_/datasets/refcoco_png.py',
    '../_base_/schedules/schedule_8e.py',
    '../_base_/default_runtime.py',
]
model = dict(lmm=dict(type='LlavaLMM', pretrained='llava-hf/llava-1.5-7b-hf', dtype='bfloat16'))
default_hooks = dict(checkpoint=dict(by_epoch=True, interval=1))
