# LLaVA-1.5-7B (Vicuna): 336 px, one grid of 24 x 24 tokens.
_base_ = ['../_base_/flmm_unet-sam-l_8e_refcoco-png.py']
model = dict(lmm=dict(type='LlavaLMM', pretrained='llava-hf/llava-1.5-7b-hf', dtype='bfloat16'))
