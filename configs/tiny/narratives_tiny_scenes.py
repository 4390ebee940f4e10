# Trained on narratives alone: those of scenes, or what tools/annotate.py exported (docs/annotate.md).
_base_ = ['./flmm_tiny_scenes.py']

train_dataloader = dict(dataset=dict(_delete_=True, **_base_.narratives))
