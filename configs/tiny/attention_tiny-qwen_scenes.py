# The tiny Qwen2.5-VL's attention alone, nothing trained: heads chosen and masks cut as for the tiny LLaVA.
_base_ = ['./attention_tiny_scenes.py']
model = dict(
    lmm=dict(
        _delete_=True,
        type='AutoLMM',
        pretrained='flmm_plugin::tiny_qwen',
        heads='flmm_plugin::heads/tiny_qwen.json',
    ),
)
