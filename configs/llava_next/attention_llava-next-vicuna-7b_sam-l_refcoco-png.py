# Nothing trained: tools/test.py takes `none` for its checkpoint. docs/untrained.md says how heads are chosen.
_base_ = ['../_base_/attention_sam-l_refcoco-png.py']
model = dict(lmm=dict(type='LlavaNextLMM', pretrained='llava-hf/llava-v1.6-vicuna-7b-hf', dtype='bfloat16'))
