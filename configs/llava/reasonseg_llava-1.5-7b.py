# ReasonSeg in both ways: the instruction grounded, and the answer to it as F-LMM's authors do.
_base_ = ['./flmm_llava-1.5-7b_unet-sam-l_8e_refcoco-png.py']

model = dict(type='AnsweringFLMM')
reasonseg = dict(
    type='ReasonSegDataset',
    data_root=_base_.data_root,
    data_prefix=dict(img_path='reason_seg/ReasonSeg/val'),
    name='reasonseg_val',
    pipeline=_base_.pipeline,
    test_mode=True,
)
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[dict(**reasonseg, protocol=f'reasoning/{protocol}') for protocol in ('first_sentence', 'answered')],
    )
)
test_evaluator = [dict(type='ReasonSegMetric'), dict(type='ReasonSegMetric', field='coarse_masks')]
