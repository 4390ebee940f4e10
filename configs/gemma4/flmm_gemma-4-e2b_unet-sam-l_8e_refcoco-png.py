# Gemma-4-E2B: 35 layers x 8 heads = 280 maps, 5 MB a phrase at the U-Net's 64 x 64 in fp32. Needs transformers 5.
# `heads` (tools/select_heads.py, docs/benchmarks.md) cuts that: 64 heads take 1 MB.
_base_ = ['../_base_/flmm_unet-sam-l_8e_refcoco-png.py']
model = dict(lmm=dict(type='AutoLMM', pretrained='google/gemma-4-E2B-it', dtype='bfloat16'))
