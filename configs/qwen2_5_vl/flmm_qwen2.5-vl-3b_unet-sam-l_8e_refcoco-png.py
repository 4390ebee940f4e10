# Qwen2.5-VL-3B: 36 layers x 16 heads = 576 maps, 9 MB a phrase at the U-Net's 64 x 64 in fp32.
# `heads` (tools/select_heads.py, docs/benchmarks.md) cuts that: 64 heads take 1 MB.
_base_ = ['../_base_/flmm_unet-sam-l_8e_refcoco-png.py']
model = dict(
    lmm=dict(
        type='AutoLMM',
        pretrained='Qwen/Qwen2.5-VL-3B-Instruct',
        dtype='bfloat16',
        processor_kwargs=dict(max_pixels=1024 * 28 * 28),
    )
)
