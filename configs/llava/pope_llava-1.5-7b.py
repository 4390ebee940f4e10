# POPE on COCO val2014: three files of 3,000 questions, from AoiDragon/POPE. The answers are the bare LMM's, whatever
# the checkpoint; another LMM takes another leaf in _base_.
_base_ = ['./flmm_llava-1.5-7b_unet-sam-l_8e_refcoco-png.py']

model = dict(type='AskingFLMM')
test_dataloader = dict(
    batch_size=8,
    dataset=dict(
        _delete_=True,
        type='YesNoDataset',
        data_root=_base_.data_root,
        splits={way: f'pope/coco_pope_{way}.json' for way in ('random', 'popular', 'adversarial')},
        data_prefix=dict(img_path='val2014'),
        pipeline=[dict(type='LoadImageRGB'), dict(type='PackQuestion')],
        test_mode=True,
    ),
)
test_evaluator = [dict(type='POPEMetric')]
