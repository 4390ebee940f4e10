# How sure is the model that what is asked for is there? The rule is fitted on training scenes and kept beside the
# checkpoint. POPE is asked as well; its reading `grounded` says yes where the LMM does and the thing is there.
_base_ = ['./pope_tiny_scenes.py']

custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='PresenceRuleHook',
        prompt='Describe the image.',
        question='Is there {phrase}?',
        dataset=dict(
            type='YesNoDataset',
            data_root=_base_.data_root,
            splits={way: f'pope/train_{way}.json' for way in ('random', 'popular', 'adversarial')},
            data_prefix=dict(img_path='images'),
            pipeline=[dict(type='LoadImageRGB'), dict(type='PackQuestion')],
            test_mode=True,
        ),
        narratives=_base_.narratives,
        num=600,
    ),
]
test_evaluator = [dict(type='POPEMetric'), dict(type='PresenceMetric')]
