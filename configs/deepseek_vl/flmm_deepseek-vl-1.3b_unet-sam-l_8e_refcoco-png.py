# DeepSeek-VL-1.3B: SigLIP at 384 px, one grid of 24 x 24 tokens. transformers >= 4.54.
_base_ = ['../_base_/flmm_unet-sam-l_8e_refcoco-png.py']
model = dict(lmm=dict(type='DeepseekVLLMM', pretrained='deepseek-community/deepseek-vl-1.3b-chat', dtype='bfloat16'))
