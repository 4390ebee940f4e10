# Panoptic Narrative Grounding: training and validation sets in their official files.
data_root = 'data/coco/'
pipeline = [dict(type='LoadImageRGB'), dict(type='LoadGroundingMasks'), dict(type='PackGroundingInputs')]
png = dict(type='PNGDataset', data_root=data_root, pipeline=pipeline)

train_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        **png,
        ann_file='annotations/png_coco_train2017.json',
        panoptic_file='annotations/panoptic_train2017.json',
        data_prefix=dict(img_path='train2017', seg_path='annotations/panoptic_train2017'),
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **png,
        ann_file='annotations/png_coco_val2017.json',
        panoptic_file='annotations/panoptic_val2017.json',
        data_prefix=dict(img_path='val2017', seg_path='annotations/panoptic_val2017'),
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

val_evaluator = [dict(type='PNGMetric'), dict(type='PNGMetric', field='coarse_masks')]
test_evaluator = val_evaluator
