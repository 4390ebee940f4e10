# Gemma-3-12B: 48 layers x 16 heads = 768 maps, 13 MB a phrase at the U-Net's 64 x 64 in fp32.
# `heads` (tools/select_heads.py, docs/benchmarks.md) cuts that: 64 heads take 1 MB.
_base_ = ['../_base_/flmm_unet-sam-l_8e_refcoco-png.py']
model = dict(lmm=dict(type='AutoLMM', pretrained='google/gemma-3-12b-it', dtype='bfloat16'))
