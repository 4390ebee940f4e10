"""SAM's mask decoder for phrases of several images and with different numbers of prompts, in one call.

The weights and the mathematics are those of segment-anything's ``MaskDecoder``, which knows one image a call and no
padding. What differs is the order of the work: prompts that only pad are masked out of the attention, prompts are
projected where there are pixels in their place (see :mod:`.pixel_attention`), only the masks that are wanted are
computed, and pixels stay rows of a matrix until the masks are there, so that transposed convolutions whose kernels do
not overlap are matrix products.

Shape shorthand: P phrases, N prompts, M masks of one, 1 or SAM's 3 for prompts that may mean several things, D prompt
width, (h, w) size of SAM's features, (r, c) of a part of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from segment_anything.modeling.mask_decoder import MaskDecoder
from segment_anything.modeling.transformer import TwoWayTransformer
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from flmm_plugin.models.refiners.pixel_attention import add_from_prompts, attend, attend_to_pixels
from flmm_plugin.structures import size_of

#: Of the features of phrases that are decoded together: two of SAM's own. Larger tensors are given back to the system
#: and cost its clearing of their pages each time.
CPU_CHUNK_BYTES = 8 * 2**20


def decode_prompts(
    decoder: MaskDecoder,
    features: Sequence[Tensor],
    position: Tensor,
    dense: Tensor,
    prompts: Sequence[Tensor],
    part: tuple[int, int] | None = None,
    multimask: bool = False,
) -> tuple[Tensor, Tensor]:
    """Mask logits (P, M, 4r, 4c) and predicted IoU (P, M) of phrases that differ in images and numbers of prompts.

    Args:
        features: for each phrase those of its image, (1, D, h, w).
        position, dense: see :func:`decode_masks`.
        prompts: for each phrase (N, D), N may differ.
        part: (r, c) the upper left part of the features for which masks are wanted; all of them, (h, w), by default.
        multimask: SAM's three masks in place of its one.
    """
    part = part or size_of(dense)
    size = _at_once(dense)
    # Split at once: the gradient of every slice would be as large as the whole.
    parts = [
        decode_masks(
            decoder,
            _images(features[i : i + size]),
            position,
            own,
            *_pad(prompts[i : i + size], own),
            part,
            multimask,
        )
        for i, own in zip(range(0, len(dense), size), dense.split(size), strict=True)
    ]
    logits, scores = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    return logits, scores


def _at_once(dense: Tensor) -> int:
    """How many phrases are decoded together: all of them, but on a CPU as many as its cache holds."""
    if dense.device.type != 'cpu':
        return max(len(dense), 1)
    return max(CPU_CHUNK_BYTES // (dense[:1].numel() * dense.element_size()), 1)


def _images(features: Sequence[Tensor]) -> Tensor:
    """(P, D, h, w), or (1, D, h, w) where all phrases are of one image."""
    return features[0] if all(one is features[0] for one in features) else torch.cat(list(features))


def _pad(prompts: Sequence[Tensor], like: Tensor) -> tuple[Tensor, Tensor | None]:
    """The prompts (P, N, D), and where they are present, (P, N) bool; None for everywhere."""
    padded = pad_sequence(list(prompts), batch_first=True).to(like)
    lengths = [len(prompt) for prompt in prompts]
    if len(set(lengths)) == 1:
        return padded, None
    present = torch.arange(padded.shape[1]) < torch.tensor(lengths)[:, None]
    return padded, present.to(like.device, non_blocking=True)


def decode_masks(
    decoder: MaskDecoder,
    features: Tensor,
    position: Tensor,
    dense: Tensor,
    prompts: Tensor,
    present: Tensor | None,
    part: tuple[int, int],
    multimask: bool,
) -> tuple[Tensor, Tensor]:
    """Mask logits (P, M, 4r, 4c) and predicted IoU (P, M).

    Args:
        features: (P, D, h, w), each phrase's image, or (1, D, h, w) where there is but one.
        position: (1, D, h, w), the encoding of places in the image.
        dense: (P, D, h, w) embeddings of the mask prompts.
        prompts: (P, N, D) embeddings of boxes and text.
        present: (P, N) bool, False where a prompt only pads; None if none does.
        part, multimask: see :func:`decode_prompts`.
    """
    outputs = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight]).to(prompts)
    tokens = torch.cat([outputs.expand(len(prompts), -1, -1), prompts], dim=1)
    visible = None if present is None else F.pad(present, (len(outputs), 0), value=True)
    pixels = (features + dense).flatten(2).transpose(1, 2)
    position = position.flatten(2).transpose(1, 2)
    wanted = slice(1, None) if multimask else slice(1)  # of SAM's four masks
    count = len(decoder.mask_tokens.weight) if multimask else 1
    read, pixels = _two_way(decoder.transformer, pixels, position, tokens, visible, 1 + count)
    kernels = _kernels(decoder.output_hypernetworks_mlps, read[:, 1:])[:, wanted]
    scores = decoder.iou_prediction_head(read[:, 0])[:, wanted]
    pixels = pixels.unflatten(1, dense.shape[-2:])[:, : part[0], : part[1]]
    return _masks(decoder.output_upscaling, pixels, kernels), scores


def _kernels(networks: Sequence[nn.Module], tokens: Tensor) -> Tensor:
    """What the masks' tokens, the first or all (P, 1 or 4, D), weigh pixels by; in the order of the networks."""
    if tokens.shape[1] == 1 and not torch.is_grad_enabled():
        networks = networks[:1]
    # In training the others get gradients of zero, as in the original, so that weight decay finds them as there.
    read = tokens.expand(-1, len(networks), -1).unbind(dim=1)
    return torch.stack([network(token) for network, token in zip(networks, read, strict=True)], dim=1)


def _two_way(
    transformer: TwoWayTransformer,
    pixels: Tensor,
    position: Tensor,
    prompts: Tensor,
    visible: Tensor | None,
    wanted: int,
) -> tuple[Tensor, Tensor]:
    """Prompts (P, N, D) and pixels (P, h * w, D) attend to each other.

    Returns:
        The first ``wanted`` of the prompts, those of the score and of masks, and the pixels.
    """
    tokens = prompts
    for block in transformer.layers:
        if block.skip_first_layer_pe:
            tokens = attend(block.self_attn, tokens, tokens, tokens, visible)
        else:
            placed = tokens + prompts
            tokens = tokens + attend(block.self_attn, placed, placed, tokens, visible)
        tokens = block.norm1(tokens)
        places = pixels + position
        read = attend_to_pixels(block.cross_attn_token_to_image, tokens + prompts, places, pixels)
        tokens = block.norm2(tokens + read)
        tokens = block.norm3(tokens + block.mlp(tokens))
        seen = add_from_prompts(block.cross_attn_image_to_token, pixels, places, tokens + prompts, tokens, visible)
        pixels = block.norm4(seen)
    tokens, prompts = tokens[:, :wanted], prompts[:, :wanted]
    read = attend_to_pixels(transformer.final_attn_token_to_image, tokens + prompts, pixels + position, pixels)
    return transformer.norm_final_attn(tokens + read), pixels


def _masks(upscaling: nn.Sequential, pixels: Tensor, kernels: Tensor) -> Tensor:
    """(P, M, 4r, 4c): pixels (P, r, c, D) spread to twice the size twice, then weighed by kernels (P, M, D / 8)."""
    first, norm, activation, second, last_activation = cast(Iterable[Any], upscaling)
    spread = F.layer_norm(_spread(first, pixels), norm.weight.shape, norm.weight, norm.bias, norm.eps)
    spread = last_activation(_spread(second, activation(spread)))
    # Not a matrix product: PyTorch's with a single column took twice the time on a CPU.
    masks = [(spread * own[:, None, None, None, None, None, None]).sum(dim=-1) for own in kernels.to(spread).unbind(1)]
    # (M, r, c, 2, 2, 2, 2): row and column within a pixel, then within a quarter of it.
    return torch.stack(masks, dim=1).permute(0, 1, 2, 4, 6, 3, 5, 7).flatten(5).flatten(2, 4)


def _spread(convolution: nn.ConvTranspose2d, pixels: Tensor) -> Tensor:
    """Four pixels for one, (..., C) to (..., 2, 2, C'): a transposed convolution with kernel 2 and stride 2."""
    weight = convolution.weight.permute(2, 3, 1, 0)
    assert convolution.bias is not None
    return F.linear(pixels, weight.flatten(0, 2), convolution.bias.repeat(4)).unflatten(-1, weight.shape[:3])
