# GLM-4.1V-9B: 40 layers x 32 heads = 1,280 maps, 21 MB a phrase at the U-Net's 64 x 64 in fp32.
# `heads` (tools/select_heads.py, docs/benchmarks.md) cuts that: 64 heads take 1 MB.
_base_ = ['../_base_/flmm_unet-sam-l_8e_refcoco-png.py']
model = dict(lmm=dict(type='AutoLMM', pretrained='zai-org/GLM-4.1V-9B-Thinking', dtype='bfloat16'))
