# LLaVA-NeXT-Vicuna-7B (LLaVA-1.6).
_base_ = ['./flmm_llava-next-mistral-7b_unet-sam-l_8e_refcoco-png.py']
model = dict(lmm=dict(pretrained='llava-hf/llava-v1.6-vicuna-7b-hf'))
