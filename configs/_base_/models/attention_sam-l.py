# Nothing trained: the attention of an LMM and SAM as it was published. A leaf config adds `lmm`.
_base_ = ['./flmm_unet_sam-l.py']
model = dict(
    mask_head=dict(_delete_=True, type='AttentionMaskHead'),
    refiner=dict(prompts=['box'], levels=[-1.0, 0.0, 1.0], multimask_output=True),
)
