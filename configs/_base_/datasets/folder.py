# Pictures and masks of one's own: train/ and val/, each with pictures/ and masks/; docs/own_data.md.
data_root = 'data/mine/'
pipeline = [dict(type='LoadImageRGB'), dict(type='LoadGroundingMasks'), dict(type='PackGroundingInputs')]
folder = dict(type='FolderDataset', data_root=data_root, pipeline=pipeline, name='mine')

train_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        **folder,
        data_prefix=dict(img_path='train/pictures', mask_path='train/masks'),
        protocol='concat/random_sentence',
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **folder,
        data_prefix=dict(img_path='val/pictures', mask_path='val/masks'),
        protocol='concat/first_sentence',
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

val_evaluator = [dict(type='RESMetric'), dict(type='RESMetric', field='coarse_masks')]
test_evaluator = val_evaluator
