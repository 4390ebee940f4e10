# DeepSeek-VL-7B: SigLIP at 384 px and a SAM encoder at 1024 px on one grid of 24 x 24 tokens. transformers >= 4.54.
_base_ = ['./flmm_deepseek-vl-1.3b_unet-sam-l_8e_refcoco-png.py']
model = dict(lmm=dict(pretrained='deepseek-community/deepseek-vl-7b-chat'))
