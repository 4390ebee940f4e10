# InternVL3-2B: 28 layers x 12 heads x 2 grids = 672 maps, 11 MB a phrase at the U-Net's 64 x 64 in fp32.
# `heads` (tools/select_heads.py, docs/benchmarks.md) cuts that: 64 heads take 2 MB.
_base_ = ['../_base_/flmm_unet-sam-l_8e_refcoco-png.py']
model = dict(lmm=dict(type='AutoLMM', pretrained='OpenGVLab/InternVL3-2B-hf', dtype='bfloat16'))
