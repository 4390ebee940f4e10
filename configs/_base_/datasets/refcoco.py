# RefCOCO, RefCOCO+ and RefCOCOg in MMDetection's layout: trained on together, their val splits evaluated apart.
data_root = 'data/coco/'
pipeline = [dict(type='LoadImageRGB'), dict(type='LoadGroundingMasks'), dict(type='PackGroundingInputs')]
refcoco_sets = [
    dict(
        type='RefCOCODataset',
        data_root=data_root,
        ann_file=f'{name}/instances.json',
        split_file=f'{name}/refs({author}).p',
        data_prefix=dict(img_path='train2014'),
        pipeline=pipeline,
        name=name,
    )
    for name, author in (('refcoco', 'unc'), ('refcoco+', 'unc'), ('refcocog', 'umd'))
]

train_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='ConcatDataset',
        datasets=[dict(**one, split='train', protocol='concat/random_sentence') for one in refcoco_sets],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ConcatDataset',
        datasets=[dict(**one, split='val', protocol='concat/first_sentence', test_mode=True) for one in refcoco_sets],
    ),
)
test_dataloader = val_dataloader

val_evaluator = [dict(type='RESMetric'), dict(type='RESMetric', field='coarse_masks'), dict(type='RECMetric')]
test_evaluator = val_evaluator
