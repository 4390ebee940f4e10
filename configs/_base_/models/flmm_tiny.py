# The tiny LMM and the tiny SAM that ship with the package.
model = dict(
    type='FLMM',
    lmm=dict(type='LlavaLMM', pretrained='flmm_plugin::tiny_llava'),
    # A stage fewer than the paper's: a fifth of the time, and with as many iterations as accurate on maps of 14 x 14.
    mask_head=dict(type='UNetMaskHead', base_channels=16, num_stages=3),
    refiner=dict(type='SAMRefiner', arch='tiny', checkpoint='flmm_plugin::tiny_sam.safetensors'),
    loss_mask=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True),
    loss_dice=dict(type='mmdet.DiceLoss', use_sigmoid=True, naive_dice=True, eps=1.0),
    # Weight 1 costs the U-Net's own masks of things 0.02 IoU here (and the refined ones 0.01).
    refined_weight=0.2,
    targets='image',  # the LMM's 112 pixels are too coarse to say where a small thing ends
)
