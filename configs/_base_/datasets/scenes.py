# Scenes written by tools/make_scenes.py: narratives and expressions, mixed for training and both evaluated.
# tools/train.py and tools/test.py move every data set below by `--cfg-options data_root=FOLDER`.
data_root = 'data/scenes'
# The questions that the tiny LMM was taught to answer with a narrative and with expressions.
png_prompt = 'Describe the image.'
refcoco_prompt = 'Name the things.'

pipeline = [dict(type='LoadImageRGB'), dict(type='LoadGroundingMasks'), dict(type='PackGroundingInputs')]
png = dict(type='PNGDataset', data_root=data_root, prompt=png_prompt, pipeline=pipeline)
refcoco = dict(
    type='RefCOCODataset',
    data_root=data_root,
    ann_file='refcoco/instances.json',
    split_file='refcoco/refs(unc).p',
    data_prefix=dict(img_path='images'),
    prompt=refcoco_prompt,
    pipeline=pipeline,
)

narratives = dict(
    **png,
    ann_file='png/png_coco_train.json',
    panoptic_file='png/panoptic_train.json',
    data_prefix=dict(img_path='images', seg_path='png/panoptic_train'),
)
expressions = dict(**refcoco, split='train', protocol='concat/random_sentence')

train_dataloader = dict(
    batch_size=2,
    num_workers=0,  # 7 ms a batch; a worker beside two busy cores makes training wait longer than that
    sampler=dict(type='InfiniteSampler', shuffle=True),
    # Four narratives to one list of expressions.
    dataset=dict(type='ConcatDataset', datasets=[*[narratives] * 4, expressions]),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ConcatDataset',
        datasets=[
            dict(
                **png,
                ann_file='png/png_coco_val.json',
                panoptic_file='png/panoptic_val.json',
                data_prefix=dict(img_path='images', seg_path='png/panoptic_val'),
                test_mode=True,
            ),
            dict(**refcoco, split='val', protocol='concat/first_sentence', test_mode=True),
        ],
    ),
)
test_dataloader = val_dataloader

val_evaluator = [
    dict(type='PNGMetric'),
    dict(type='PNGMetric', field='coarse_masks'),
    dict(type='RESMetric'),
    dict(type='RESMetric', field='coarse_masks'),
    dict(type='RECMetric'),
]
test_evaluator = val_evaluator
