# Nothing trained: tools/test.py takes `none` for its checkpoint. docs/untrained.md says how heads are chosen.
_base_ = ['../_base_/attention_sam-l_refcoco-png.py']
model = dict(
    lmm=dict(
        type='AutoLMM',
        pretrained='Qwen/Qwen2.5-VL-3B-Instruct',
        dtype='bfloat16',
        processor_kwargs=dict(max_pixels=1024 * 28 * 28),
    )
)
