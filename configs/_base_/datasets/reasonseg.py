# ReasonSeg: instructions that have to be understood. Trained on with any wording, tested on the first as LISA does.
data_root = 'data/coco/'
pipeline = [dict(type='LoadImageRGB'), dict(type='LoadGroundingMasks'), dict(type='PackGroundingInputs')]
reasonseg = dict(type='ReasonSegDataset', data_root=data_root, pipeline=pipeline)

train_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        **reasonseg,
        data_prefix=dict(img_path='reason_seg/ReasonSeg/train'),
        name='reasonseg_train',
        protocol='reasoning/random_sentence',
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **reasonseg,
        data_prefix=dict(img_path='reason_seg/ReasonSeg/val'),
        name='reasonseg_val',
        protocol='reasoning/first_sentence',
        test_mode=True,
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **reasonseg,
        data_prefix=dict(img_path='reason_seg/ReasonSeg/test'),
        name='reasonseg_test',
        protocol='reasoning/first_sentence',
        test_mode=True,
    ),
)

val_evaluator = [dict(type='ReasonSegMetric'), dict(type='ReasonSegMetric', field='coarse_masks')]
test_evaluator = val_evaluator
