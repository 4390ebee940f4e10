"""Building segment-anything models by name or by their dimensions, and reading their weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import Tensor, nn

from flmm_plugin.errors import UserError
from flmm_plugin.models.refiners.image_attention import fuse_attention


@dataclass(frozen=True, kw_only=True)
class SAMArch:
    """Dimensions of a SAM; the defaults are those that the released models share.

    ``embed_dim``, ``depth``, ``num_heads``, ``global_attn_indexes`` and ``window_size`` (in tokens) are the image
    encoder's; ``image_size`` and ``patch_size`` are in pixels; ``prompt_embed_dim`` is prompts' and decoder's width.
    """

    embed_dim: int
    depth: int
    num_heads: int
    global_attn_indexes: tuple[int, ...]
    image_size: int = 1024
    patch_size: int = 16
    window_size: int = 14
    prompt_embed_dim: int = 256
    mask_in_chans: int = 16
    decoder_depth: int = 2
    decoder_num_heads: int = 8
    decoder_mlp_dim: int = 2048
    iou_head_depth: int = 3
    iou_head_hidden_dim: int = 256


ARCHS = {
    'vit_b': SAMArch(embed_dim=768, depth=12, num_heads=12, global_attn_indexes=(2, 5, 8, 11)),
    'vit_l': SAMArch(embed_dim=1024, depth=24, num_heads=16, global_attn_indexes=(5, 11, 17, 23)),
    'vit_h': SAMArch(embed_dim=1280, depth=32, num_heads=16, global_attn_indexes=(7, 15, 23, 31)),
    # The one that ships with the package, trained on scenes.
    'tiny': SAMArch(
        embed_dim=96,
        depth=4,
        num_heads=4,
        global_attn_indexes=(0, 1, 2, 3),
        image_size=128,
        patch_size=8,
        prompt_embed_dim=96,
        mask_in_chans=8,
        decoder_num_heads=4,
        decoder_mlp_dim=256,
        iou_head_depth=2,
        iou_head_hidden_dim=64,
    ),
}


def build_sam(arch: str | Mapping[str, Any]) -> Sam:
    """A SAM with random weights.

    Args:
        arch: ``'vit_t'`` (MobileSAM), ``'vit_b'``, ``'vit_l'``, ``'vit_h'``, ``'tiny'``, or the fields of
            :class:`SAMArch`.
    """
    if arch == 'vit_t':
        from flmm_plugin.models.refiners.tiny_vit import TinyViTEncoder  # needs timm, which the others do not

        # The released models differ in nothing but the encoder.
        return assemble(TinyViTEncoder(), ARCHS['vit_b'])
    if isinstance(arch, str):
        if arch not in ARCHS:
            names = ['vit_t', *ARCHS]
            raise ValueError(f'SAM arch {arch!r} is unknown: use one of {names} or a dict of dimensions')
        dims = ARCHS[arch]
    else:
        dims = SAMArch(**arch)
    encoder = ImageEncoderViT(
        img_size=dims.image_size,
        patch_size=dims.patch_size,
        embed_dim=dims.embed_dim,
        depth=dims.depth,
        num_heads=dims.num_heads,
        out_chans=dims.prompt_embed_dim,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=dims.window_size,
        global_attn_indexes=tuple(dims.global_attn_indexes),
    )
    fuse_attention(encoder)
    return assemble(encoder, dims)


def arch_of(tensors: Mapping[str, Tensor], source: str) -> str:
    """Which of the known models a state dict is.

    Raises:
        UserError: none of them; names the ``source``.
    """
    if any(name.startswith('image_encoder.patch_embed.seq.') for name in tensors):
        return 'vit_t'
    places = tensors.get('image_encoder.pos_embed')
    for name, dims in ARCHS.items():
        side = dims.image_size // dims.patch_size
        if places is not None and tuple(places.shape) == (1, side, side, dims.embed_dim):
            return name
    raise UserError(
        f"{source} is none of segment-anything's models ({', '.join(['vit_t', *ARCHS])}): a config can name others "
        'by their dimensions, refiner=dict(arch=...)'
    )


def assemble(encoder: nn.Module, dims: SAMArch) -> Sam:
    """An image encoder with the prompt encoder and mask decoder that ``dims`` describes."""
    grid = dims.image_size // dims.patch_size
    return Sam(
        image_encoder=encoder,
        prompt_encoder=PromptEncoder(
            embed_dim=dims.prompt_embed_dim,
            image_embedding_size=(grid, grid),
            input_image_size=(dims.image_size, dims.image_size),
            mask_in_chans=dims.mask_in_chans,
        ),
        mask_decoder=MaskDecoder(
            transformer_dim=dims.prompt_embed_dim,
            transformer=TwoWayTransformer(
                depth=dims.decoder_depth,
                embedding_dim=dims.prompt_embed_dim,
                mlp_dim=dims.decoder_mlp_dim,
                num_heads=dims.decoder_num_heads,
            ),
            iou_head_depth=dims.iou_head_depth,
            iou_head_hidden_dim=dims.iou_head_hidden_dim,
        ),
    )
