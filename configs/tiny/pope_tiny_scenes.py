# Does the tiny LMM say yes to what is not there? POPE's questions about scenes written by tools/make_scenes.py.
_base_ = ['./flmm_tiny_scenes.py']

model = dict(type='AskingFLMM')
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='YesNoDataset',
        data_root=_base_.data_root,
        splits={way: f'pope/val_{way}.json' for way in ('random', 'popular', 'adversarial')},
        data_prefix=dict(img_path='images'),
        pipeline=[dict(type='LoadImageRGB'), dict(type='PackQuestion')],
        test_mode=True,
    )
)
test_evaluator = [dict(type='POPEMetric')]
