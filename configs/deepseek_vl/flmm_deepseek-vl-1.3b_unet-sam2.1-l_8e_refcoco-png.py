# DeepSeek-VL-1.3B with SAM 2.1. transformers >= 4.56.
_base_ = ['../_base_/flmm_unet-sam2.1-l_8e_refcoco-png.py']
model = dict(lmm=dict(type='DeepseekVLLMM', pretrained='deepseek-community/deepseek-vl-1.3b-chat', dtype='bfloat16'))
