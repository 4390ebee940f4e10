# gRefCOCO: expressions with several targets, one, or none. `test_dataloader.dataset.split=testA` tests on testA.
data_root = 'data/coco/'
pipeline = [dict(type='LoadImageRGB'), dict(type='LoadGroundingMasks'), dict(type='PackGroundingInputs')]
grefcoco = dict(
    type='GRefCOCODataset',
    data_root=data_root,
    ann_file='grefcoco/instances.json',
    split_file='grefcoco/grefs(unc).json',
    data_prefix=dict(img_path='train2014'),
    pipeline=pipeline,
    name='grefcoco',
)

train_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(**grefcoco, split='train', protocol='generalized/independent/random_sentence'),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**grefcoco, split='val', protocol='generalized/independent/all_sentences', test_mode=True),
)
test_dataloader = val_dataloader

val_evaluator = [dict(type='GRESMetric'), dict(type='GRESMetric', field='coarse_masks')]
test_evaluator = val_evaluator
