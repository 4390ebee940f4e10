# The tiny LMM's attention alone, nothing trained: `python tools/test.py configs/tiny/attention_tiny_scenes.py none`.
_base_ = ['./flmm_tiny_scenes.py']
model = dict(
    # Chosen without masks by tools/select_heads.py --criterion contrast on training scenes.
    lmm=dict(heads='flmm_plugin::heads/tiny_llava.json'),
    mask_head=dict(_delete_=True, type='AttentionMaskHead'),
    refiner=dict(prompts=['mask', 'box'], levels=[-1.0, 0.0, 1.0]),
)
