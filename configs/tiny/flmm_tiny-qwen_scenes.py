# The tiny Qwen2.5-VL: pictures of any aspect. Its 32 maps are 10 to 19 tokens wide and high here.
_base_ = ['./flmm_tiny_scenes.py']
model = dict(lmm=dict(_delete_=True, type='AutoLMM', pretrained='flmm_plugin::tiny_qwen'))
