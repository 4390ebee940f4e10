# Qwen2.5-VL-3B with SAM 2.1: 36 layers of 16 heads make 576 maps; `heads` of tools/select_heads.py cuts them.
_base_ = ['../_base_/flmm_unet-sam2.1-l_8e_refcoco-png.py']
model = dict(
    lmm=dict(
        type='AutoLMM',
        pretrained='Qwen/Qwen2.5-VL-3B-Instruct',
        dtype='bfloat16',
        processor_kwargs=dict(max_pixels=1024 * 28 * 28),
    )
)
