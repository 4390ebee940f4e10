# Qwen3.5-27B: 16 layers x 24 heads = 384 maps, 6 MB a phrase at the U-Net's 64 x 64 in fp32. Three layers of four
# attend linearly and make none. Needs transformers 5.
_base_ = ['../_base_/flmm_unet-sam-l_8e_refcoco-png.py']
model = dict(
    lmm=dict(
        type='AutoLMM',
        pretrained='Qwen/Qwen3.5-27B',
        dtype='bfloat16',
        processor_kwargs=dict(max_pixels=1024 * 32 * 32),
    )
)
