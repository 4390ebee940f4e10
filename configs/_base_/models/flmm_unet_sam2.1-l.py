# SAM 2.1 of transformers (>= 4.56) in place of the paper's SAM.
_base_ = ['./flmm_unet_sam-l.py']
model = dict(refiner=dict(_delete_=True, type='HFSAMRefiner', pretrained='facebook/sam2.1-hiera-large'))
