# LLaVA-NeXT-Mistral-7B (LLaVA-1.6): a coarse grid of 24 x 24 tokens and a fine one of up to 4 crops.
_base_ = ['../_base_/flmm_unet-sam-l_8e_refcoco-png.py']
model = dict(lmm=dict(type='LlavaNextLMM', pretrained='llava-hf/llava-v1.6-mistral-7b-hf', dtype='bfloat16'))

# The authors trained LLaVA-NeXT on narratives under a question of its own. They tested it under the usual one.
png, *refcoco = _base_.train_dataloader.dataset.datasets
train_dataloader = dict(dataset=dict(datasets=[dict(png, prompt='What is shown in this image?'), *refcoco]))
