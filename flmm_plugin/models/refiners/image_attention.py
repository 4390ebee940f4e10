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

#: Of the relative positions that are laid out at once: a CPU's cache must hold them.
CPU_CHUNK_BYTES = 4 * 2**20


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
        size = height if query.device.type != 'cpu' else max(1, CPU_CHUNK_BYTES // row_bytes)
        for rows, row_positions in zip(query.split(size, dim=2), by_row.split(size), strict=True):
            vertical = torch.einsum('bhywd,ykd->bhywk', rows, row_positions)
            horizontal = torch.einsum('bhywd,wkd->bhywk', rows, by_column)
            yield rows, (vertical[..., None] + horizontal[..., None, :]).flatten(4).flatten(2, 3)


def relative(size: int, embeddings: Tensor) -> Tensor:
    """Embeddings (size, size, D) from place to place along a side, of those of all distances (2 * size - 1, D)."""
    places = torch.arange(size, device=embeddings.device)  # segment-anything's own are on the CPU: a GPU would wait
    return embeddings[places[:, None] - places + size - 1]


def fuse_attention(encoder: ImageEncoderViT) -> None:
    """Let all layers of the encoder use :class:`FusedAttention`."""
    for block in encoder.blocks:
        block.attn.__class__ = FusedAttention
