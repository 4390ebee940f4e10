# The tiny LMM with a tiny SAM 2: `python tools/train_tiny_sam.py work_dirs/tiny_sam2 --arch sam2` makes it.
_base_ = ['./flmm_tiny_scenes.py']
model = dict(refiner=dict(_delete_=True, type='HFSAMRefiner', pretrained='work_dirs/tiny_sam2'))
