"""The attention of SAM's image encoder by fused kernels, a part of the rows at a time.

The weights and the mathematics are segment-anything's. There the scores of a layer are written and read several times:
1 GB in fp32 for the 16 heads of ViT-L over 64 x 64 tokens.

Shape shorthand: B windows or images, H heads, (h, w) their size in tokens, D head width.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from segment_anything.modeling.image_encoder import Attention, ImageEncoderViT
from torch import Tensor

#: Of the relative positions that are laid out at once, by kind of device. A CPU's cache must hold them; for 8 images of
#: ViT-L they would take 9 GB of a GPU.
CHUNK_BYTES = {'cpu': 4 * 2**20, 'cuda': 2**30}


class FusedAttention(Attention):
    """Takes the place of segment-anything's; its parameters are the same."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, h, w, H * D) -> the same shape."""
        batch, height, width, _ = x.shape
        qkv = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(3, 0, 4, 1, 2, 5)
        query, key, value = qkv[0], qkv[1].flatten(2, 3), qkv[2].flatten(2, 3)
        parts = [
            F.scaled_dot_product_attention(rows.flatten(2, 3), key, value, attn_mask=positions)
            for rows, positions in self._with_positions(query)
        ]
        attended = torch.cat(parts, dim=2).transpose(1, 2)
        return self.proj(attended.reshape(batch, height, width, -1))

    def _with_positions(self, query: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Queries (B, H, h, w, D) some rows at a time, and what relative positions add to their scores."""
        if not self.use_rel_pos:
            yield query, None
            return
        height, width = query.shape[2:4]
        by_row, by_column = relative(height, self.rel_pos_h), relative(width, self.rel_pos_w)
        row_bytes = query[:, :, 0, :, 0].numel() * height * width * query.element_size()
        size = max(1, CHUNK_BYTES.get(query.device.type, CHUNK_BYTES['cuda']) // max(row_bytes, 1))
        for rows, row_positions in zip(query.split(size, dim=2), by_row.split(size), strict=True):
            vertical = torch.einsum('bhywd,ykd->bhywk', rows, row_positions)
            horizontal = torch.einsum('bhywd,wkd->bhywk', rows, by_column)
            yield rows, lay_out(vertical, horizontal).flatten(2, 3)


def lay_out(vertical: Tensor, horizontal: Tensor) -> Tensor:
    """What the rows (..., h) and the columns (..., w) of the keys add, for each of the keys (..., h * w)."""
    height, width = vertical.shape[-1], horizontal.shape[-1]
    if vertical.device.type == 'cpu':
        return (vertical[..., None] + horizontal[..., None, :]).flatten(-2)
    # A sum over axes of six takes a GPU many times as long as it takes to write it; a product with ones does not.
    # Its kernels, and those of the attention, want rows that begin at multiples of 8.
    places = torch.arange(height * width, device=vertical.device)
    beside = torch.cat([places // width, places % width + height]).view(2, -1)
    ones = vertical.new_zeros(height + width, -(-height * width // 8) * 8)
    ones.scatter_(0, beside, 1.0)
    return (torch.cat([vertical, horizontal], dim=-1) @ ones)[..., : height * width]


def relative(size: int, embeddings: Tensor) -> Tensor:
    """Embeddings (size, size, D) from place to place along a side, of those of all distances (2 * size - 1, D)."""
    places = torch.arange(size, device=embeddings.device)  # segment-anything's own are on the CPU: a GPU would wait
    return embeddings[places[:, None] - places + size - 1]


def fuse_attention(encoder: ImageEncoderViT) -> None:
    """Let all layers of the encoder use :class:`FusedAttention`."""
    for block in encoder.blocks:
        block.attn.__class__ = FusedAttention
