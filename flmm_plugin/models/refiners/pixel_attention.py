"""Attention between a few prompts and the many pixels of an image, as SAM's mask decoder has it.

The weights and the mathematics are those of segment-anything's ``Attention``. There every pixel is projected to keys
and values, or to queries, which is most of the decoder's work. For a head with projections ``Wq`` and ``Wk``,
``(Wq a) . (Wk b) = (Wk' Wq a) . b``: with few prompts it is cheaper to project these, and back, and to leave the pixels
as they are.

Shape shorthand: P phrases, N prompts, H heads, D width of prompts and pixels, I width of all heads, S pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from segment_anything.modeling.transformer import Attention
from torch import Tensor, nn


def attend(
    attention: Attention, queries: Tensor, keys: Tensor, values: Tensor, visible: Tensor | None = None
) -> Tensor:
    """Projections as they come: (P, N, D) queries, (P, M, D) keys and values -> (P, N, D).

    ``visible``: (P, M) bool, False where a key only pads; None if none does.
    """

    def heads(x: Tensor) -> Tensor:
        return x.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)

    attended = F.scaled_dot_product_attention(
        heads(attention.q_proj(queries)),
        heads(attention.k_proj(keys)),
        heads(attention.v_proj(values)),
        attn_mask=None if visible is None else visible[:, None, None],
    )
    return attention.out_proj(attended.transpose(1, 2).flatten(2))


def attend_to_pixels(attention: Attention, prompts: Tensor, places: Tensor, pixels: Tensor) -> Tensor:
    """What prompts (P, N, D) read from pixels (P, S, D): (P, N, D). ``places`` (P, S, D): the pixels as keys."""
    if _many(attention, prompts):
        return attend(attention, prompts, places, pixels)
    scores = _scores(attention, attention.q_proj(prompts), attention.k_proj, places)
    read = (scores.flatten(1, 2).softmax(dim=-1) @ pixels).unflatten(1, scores.shape[1:3])
    # The weights of a head sum to 1, so that the bias of the values is added once.
    weight = attention.v_proj.weight.unflatten(0, (attention.num_heads, -1))
    values = torch.einsum('pnhd,hid->pnhi', read, weight).flatten(2) + attention.v_proj.bias
    return attention.out_proj(values)


def add_from_prompts(
    attention: Attention, pixels: Tensor, places: Tensor, keys: Tensor, values: Tensor, visible: Tensor | None = None
) -> Tensor:
    """Pixels (P, S, D) and what they, as the queries ``places``, read from prompts: (P, S, D).

    ``keys``, ``values`` (P, N, D) of the prompts; ``visible``: (P, N) bool, False where a prompt only pads.
    """
    if _many(attention, keys):
        return pixels + attend(attention, places, keys, values, visible)
    scores = _scores(attention, attention.k_proj(keys), attention.q_proj, places)
    if visible is not None:
        scores = scores.masked_fill(~visible[:, :, None, None], float('-inf'))
    weights = scores.softmax(dim=1).flatten(1, 2)
    read = attention.v_proj(values).unflatten(-1, (attention.num_heads, -1))
    weight = attention.out_proj.weight.unflatten(1, (attention.num_heads, -1))
    # The weights of a pixel sum to 1 in each head, which adds up the shares of the bias.
    written = torch.einsum('pnhi,dhi->pnhd', read, weight) + attention.out_proj.bias / attention.num_heads
    return torch.baddbmm(pixels, weights.transpose(1, 2), written.flatten(1, 2))


def _scores(attention: Attention, projected: Tensor, other: nn.Linear, places: Tensor) -> Tensor:
    """(P, N, H, S) scaled scores of prompts projected to (P, N, I) and of pixels (P, S, D) that ``other`` projects."""
    queries = projected.unflatten(-1, (attention.num_heads, -1))
    queries = queries * queries.shape[-1] ** -0.5
    moved = torch.einsum('pnhi,hid->pnhd', queries, other.weight.unflatten(0, (attention.num_heads, -1)))
    shift = torch.einsum('pnhi,hi->pnh', queries, other.bias.unflatten(0, (attention.num_heads, -1)))
    scores = torch.baddbmm(shift.flatten(1)[..., None], moved.flatten(1, 2), places.transpose(1, 2))
    return scores.unflatten(1, queries.shape[1:3])


def _many(attention: Attention, prompts: Tensor) -> bool:
    """So many prompts that a projection of all pixels is less work."""
    return prompts.shape[1] * attention.num_heads > attention.internal_dim
