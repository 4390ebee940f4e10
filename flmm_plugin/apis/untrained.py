"""A model with nothing to train, from the names of an LMM and a segmenter alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.config import Config

from flmm_plugin.assets import SCHEME, resolve
from flmm_plugin.errors import UserError
from flmm_plugin.models.lmms.processing import load_config
from flmm_plugin.models.refiners.sam_arch import arch_of
from flmm_plugin.models.weights.checkpoints import read_tensors

#: By the model type of transformers: adapters that read a picture as F-LMM's authors do. All others are AutoLMM's.
ADAPTERS = {
    'llava': 'LlavaLMM',
    'llava_next': 'LlavaNextLMM',
    'deepseek_vl': 'DeepseekVLLMM',
    'deepseek_vl_hybrid': 'DeepseekVLLMM',
}
#: Towers with a square of fixed size, which LlavaLMM takes for granted; the class has others too.
SQUARE_TOWERS = ('clip_vision_model', 'siglip_vision_model')
SAM_FILES = ('.pth', '.pt', '.safetensors')
#: What a decoder is given that was never shown attention: best on photos, with MobileSAM (docs/untrained.md).
PROMPTS = dict(prompts=['box'], levels=[-1.0, 0.0, 1.0], multimask_output=True)
#: What the tiny one is given, whose three masks were never trained: best on scenes.
TINY_PROMPTS = dict(prompts=['mask', 'box'], levels=[-1.0, 0.0, 1.0])
WHERE = 'https://github.com/facebookresearch/segment-anything#model-checkpoints'


def untrained_config(lmm: str | Path | None, sam: str | Path | None, heads: Any = None) -> Config:
    """The config of :class:`FLMMInferencer` without a config file.

    Args:
        lmm: name on the Hub, or a folder.
        sam: a file of segment-anything or MobileSAM, a folder or a name of a segment-anything model of transformers, or
            ``'none'`` for masks without one.
        heads: see :class:`FrozenLMM`.

    Raises:
        UserError: one is missing, or is not what it should be.
    """
    if lmm is None:
        raise UserError('which model? Give a config (and its checkpoint), or lmm= and sam= for one that nobody trained')
    model = dict(
        type='FLMM',
        lmm=dict(type=adapter_of(str(lmm)), pretrained=str(lmm), heads=heads),
        mask_head=dict(type='AttentionMaskHead'),
        refiner=refiner_of(sam),
    )
    return Config(dict(model=model))


def adapter_of(lmm: str) -> str:
    """The class that reads for this LMM."""
    config = load_config(lmm)
    if config.model_type == 'llava' and config.vision_config.model_type not in SQUARE_TOWERS:
        return 'AutoLMM'
    return ADAPTERS.get(config.model_type, 'AutoLMM')


def refiner_of(sam: str | Path | None) -> dict[str, Any]:
    """The refiner's config."""
    if sam is None:
        raise UserError(f"no SAM: give sam='sam_vit_b_01ec64.pth' ({WHERE}), or sam='none' for masks without one")
    name = str(sam)
    if name == 'none':
        return dict(type='none')
    path = Path(resolve(name))
    if path.is_file():
        arch = arch_of(read_tensors(path), name)
        return dict(type='SAMRefiner', arch=arch, checkpoint=name, **(TINY_PROMPTS if arch == 'tiny' else PROMPTS))
    if not path.is_dir() and (path.suffix in SAM_FILES or name.startswith((SCHEME, '/', '.'))):
        raise UserError(f'there is no SAM file {name}: {WHERE} has them')
    return dict(type='HFSAMRefiner', pretrained=name, **PROMPTS)
