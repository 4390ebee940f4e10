# The paper's training mixture: RefCOCO, RefCOCO+, RefCOCOg and PNG; all are evaluated.
_base_ = ['./refcoco.py']

data_root = 'data/coco/'
png = dict(type='PNGDataset', data_root=data_root, pipeline=_base_.pipeline)

train_dataloader = dict(
    dataset=dict(
        datasets=[
            dict(
                **png,
                ann_file='annotations/png_coco_train2017.json',
                panoptic_file='annotations/panoptic_train2017.json',
                data_prefix=dict(img_path='train2017', seg_path='annotations/panoptic_train2017'),
            ),
            *_base_.train_dataloader.dataset.datasets,
        ]
    )
)
val_dataloader = dict(
    dataset=dict(
        datasets=[
            dict(
                **png,
                ann_file='annotations/png_coco_val2017.json',
                panoptic_file='annotations/panoptic_val2017.json',
                data_prefix=dict(img_path='val2017', seg_path='annotations/panoptic_val2017'),
                test_mode=True,
            ),
            *_base_.val_dataloader.dataset.datasets,
        ]
    )
)
test_dataloader = val_dataloader

val_evaluator = [dict(type='PNGMetric'), dict(type='PNGMetric', field='coarse_masks'), *_base_.val_evaluator]
test_evaluator = val_evaluator
