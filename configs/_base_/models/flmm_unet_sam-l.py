# The paper's model; a leaf config adds `lmm`.
model = dict(
    type='FLMM',
    mask_head=dict(type='UNetMaskHead', base_channels=64),
    refiner=dict(type='SAMRefiner', arch='vit_l', checkpoint='checkpoints/sam_vit_l_0b3195.pth'),
    loss_mask=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True),
    loss_dice=dict(type='mmdet.DiceLoss', use_sigmoid=True, naive_dice=True, eps=1.0),
)
