"""Small dataclasses that travel between datasets, LMM adapters and the model.

Shape shorthand: N tokens, T phrase tokens, P phrases, L layers, H heads, D hidden width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor


def size_of(maps: Tensor) -> tuple[int, int]:
    """(height, width) of an image or of maps, ``(..., H, W)``."""
    height, width = maps.shape[-2:]
    return height, width


@dataclass(frozen=True)
class Segment:
    """A piece of the text. ``phrase`` is the index of the phrase it grounds, -1 for text that grounds nothing.

    Several segments may carry the same index: their tokens are averaged together. ``branch``: segments of different
    branches are alternative continuations that do not see each other, after all segments that have none (-1).
    """

    text: str
    phrase: int = -1
    branch: int = -1


@dataclass(frozen=True)
class Region:
    """The part of a padded input image that shows the image, in pixels of that padded image.

    Where the input was cropped it shows less than the image: ``top`` and ``left`` are negative then, the image larger.
    """

    top: int
    left: int
    height: int
    width: int
    padded_height: int
    padded_width: int

    def crop(self, maps: Tensor) -> Tensor:
        """Crop ``(..., H, W)`` maps of the whole padded image to this region.

        Rounding is the authors': offsets ``int(top * H / padded)``, sizes ``int(size * H / padded + 0.5)``, but of
        the thinnest pictures a row or a column stays. What a cropped input leaves out has what its nearest neighbour
        has.
        """
        rows, cols = maps.shape[-2:]
        top = int(self.top * rows / self.padded_height)
        left = int(self.left * cols / self.padded_width)
        height = max(int(self.height * rows / self.padded_height + 0.5), 1)
        width = max(int(self.width * cols / self.padded_width + 0.5), 1)
        inside = maps[..., max(top, 0) : top + height, max(left, 0) : left + width]
        if min(top, left) >= 0 and self.height <= self.padded_height and self.width <= self.padded_width:
            return inside
        beyond = (max(-left, 0), max(left + width - cols, 0), max(-top, 0), max(top + height - rows, 0))
        padded = F.pad(inside.reshape(1, -1, *inside.shape[-2:]), beyond, mode='replicate')
        return padded.view(*maps.shape[:-2], *padded.shape[-2:])


@dataclass(frozen=True)
class ImageGrid:
    """Where one grid of image tokens lies in the sequence.

    ``columns``: (height * width,) int64 positions of the grid's tokens after expansion, in row-major order.
    ``region``: the part of the grid's image that shows the picture; None when all of it does.
    """

    columns: Tensor
    height: int
    width: int
    region: Region | None = None

    def shift(self, offset: int) -> ImageGrid:
        """The same grid, its tokens ``offset`` positions later."""
        return replace(self, columns=self.columns + offset)


@dataclass(frozen=True)
class ImageInputs:
    """What an LMM adapter makes of one image.

    ``vision``: keyword arguments of the LMM's forward pass (``pixel_values``, ``image_sizes`` ...), images first.
    ``num_tokens``: how many tokens the image takes in the sequence.
    ``grids``: its grids, coarse first, columns counted from the image's first token.
    ``target_size``: (height, width) of the picture at the LMM's resolution; targets are resized (nearest) to it first.
    ``token_ids``: (num_tokens,) int64 the image's block of ids, breaks and tags and all; None for image tokens alone.
    ``per_token``: (num_tokens,) each, arguments of the forward pass that have a value for each token, 0 for text.
    """

    vision: dict[str, Tensor]
    num_tokens: int
    grids: tuple[ImageGrid, ...]
    target_size: tuple[int, int]
    token_ids: Tensor | None = None
    per_token: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class LMMInputs:
    """One sample, ready for a frozen LMM.

    ``input_ids``: (N,) int64, the image token already expanded to the image's tokens.
    ``phrase_ids``: (N,) int64, index of the phrase a token belongs to, -1 elsewhere (image tokens are -1).
    ``vision``, ``target_size``: as in :class:`ImageInputs`.
    ``grids``: the image grids whose attention maps are stacked, coarse first, columns counted from the first token.
    ``branch_ids``: (N,) int64, the alternative continuation a token belongs to, -1 for the trunk that all of them
    follow; None where there is one text only.
    ``per_token``: as in :class:`ImageInputs`, up to the image's last token; tokens that follow have 0.
    ``prompt_length``: how many tokens the first question takes, where the LMM lets its tokens see one another; None
    where no token of the text sees a later one.
    """

    input_ids: Tensor
    phrase_ids: Tensor
    vision: dict[str, Tensor]
    grids: tuple[ImageGrid, ...]
    target_size: tuple[int, int]
    branch_ids: Tensor | None = None
    per_token: dict[str, Tensor] = field(default_factory=dict)
    prompt_length: int | None = None

    @property
    def num_phrases(self) -> int:
        return int(self.phrase_ids.max()) + 1

    @property
    def phrase_rows(self) -> Tensor:
        """(T,) int64 positions of the tokens that belong to a phrase."""
        return (self.phrase_ids >= 0).nonzero().flatten()

    @property
    def trunk_length(self) -> int:
        """How many tokens come before the first branch."""
        return len(self.input_ids) if self.branch_ids is None else int((self.branch_ids < 0).sum())

    @property
    def kept_length(self) -> int:
        """How many tokens are read first, and what follows in a second pass: all, if nothing asks for one."""
        return min(self.trunk_length, self.prompt_length or len(self.input_ids))

    def first(self, length: int) -> LMMInputs:
        """The first ``length`` tokens, the whole image among them."""
        return replace(self, input_ids=self.input_ids[:length], phrase_ids=self.phrase_ids[:length], branch_ids=None)

    def follow(self, ids: Sequence[int], phrases: Tensor | None = None) -> LMMInputs:
        """With further tokens, and the phrase (M,) that each of them belongs to, in place of all phrases before."""
        further = torch.tensor(list(ids), dtype=torch.long)
        owners = torch.full_like(further, -1) if phrases is None else phrases
        return replace(
            self,
            input_ids=torch.cat([self.input_ids, further]),
            phrase_ids=torch.cat([torch.full_like(self.input_ids, -1), owners]),
        )

    @property
    def finest_grid(self) -> ImageGrid:
        """The last grid, whose size the attention maps have."""
        return self.grids[-1]


@dataclass(frozen=True)
class LMMOutputs:
    """What grounding keeps of one sample's forward pass.

    ``attention_maps``: (P, C, h, w) fp32, C = L * H for each grid, grids stacked along C.
    ``hidden_states``: (L, T, D) the last L hidden states (embeddings excluded) of ``T`` tokens.
    ``phrase_ids``: (T,) int64 the phrase of each of these tokens, on the CPU: what is selected by it is known there.
    """

    attention_maps: Tensor
    hidden_states: Tensor
    phrase_ids: Tensor

    @property
    def num_phrases(self) -> int:
        return len(self.attention_maps)
