# Gemma-4-31B: 60 layers x 32 heads = 1,920 maps, 31 MB a phrase at the U-Net's 64 x 64 in fp32. Needs transformers 5.
# `heads` (tools/select_heads.py, docs/benchmarks.md) cuts that: 64 heads take 1 MB.
_base_ = ['../_base_/flmm_unet-sam-l_8e_refcoco-png.py']
model = dict(lmm=dict(type='AutoLMM', pretrained='google/gemma-4-31B-it', dtype='bfloat16'))
