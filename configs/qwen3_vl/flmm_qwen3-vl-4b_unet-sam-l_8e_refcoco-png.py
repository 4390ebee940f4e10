# Qwen3-VL-4B: 36 layers x 32 heads = 1,152 maps, 19 MB a phrase at the U-Net's 64 x 64 in fp32.
# `heads` (tools/select_heads.py, docs/benchmarks.md) cuts that: 64 heads take 1 MB.
_base_ = ['../_base_/flmm_unet-sam-l_8e_refcoco-png.py']
model = dict(
    lmm=dict(
        type='AutoLMM',
        pretrained='Qwen/Qwen3-VL-4B-Instruct',
        dtype='bfloat16',
        processor_kwargs=dict(max_pixels=1024 * 32 * 32),
    )
)
