"""An answer to a prompt that shows two images.

Shape shorthand: M tokens of the text, each image being one of them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from flmm_plugin.models.lmms.base import FrozenLMM
from flmm_plugin.models.lmms.text import PromptError
from flmm_plugin.structures import ImageGrid, ImageInputs, LMMInputs


def image_token(lmm: FrozenLMM) -> str:
    """What stands for an image in a prompt."""
    token: str = lmm.processor.tokenizer.convert_ids_to_tokens(lmm.image_token_id)
    return token


def prepare_two(lmm: FrozenLMM, image: Tensor, detail: Tensor, prompt: str) -> LMMInputs:
    """Inputs with the tokens of two uint8 images (3, H, W): the first where the chat template puts it, the second at
    the prompt's own image token, or right after the first.

    Raises:
        PromptError: the prompt has several image tokens.
    """
    ids, _, _ = lmm.tokenize(prompt)
    places = (ids == lmm.image_token_id).nonzero().flatten().tolist()
    if len(places) > 2:
        raise PromptError(f'the question must not hold the image token {image_token(lmm)!r}')
    first, second = places[0], places[-1]
    made = [lmm.preprocess(image), lmm.preprocess(detail)]
    blocks = [image_block(lmm, part) for part in made]
    before, between, after = ids[:first], ids[first + 1 : second], ids[second + 1 :]
    input_ids = torch.cat([before, blocks[0], between, blocks[1], after])
    grids: tuple[ImageGrid, ...] = tuple(grid.shift(first) for grid in made[0].grids)
    # `collate` joins the vision inputs of samples, which are made to the same measure here as it does there.
    one, two = (LMMInputs(input_ids, torch.full_like(input_ids, -1), m.vision, grids, m.target_size) for m in made)
    batch = lmm.collate([one, two])
    return LMMInputs(input_ids, one.phrase_ids, {name: batch[name] for name in one.vision}, grids, made[0].target_size)


def image_block(lmm: FrozenLMM, made: ImageInputs) -> Tensor:
    """The ids of all tokens that an image takes."""
    return torch.full((made.num_tokens,), lmm.image_token_id) if made.token_ids is None else made.token_ids
