"""An answer to a prompt that shows two images.

Shape shorthand: M tokens of the text, each image being one of them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from flmm_plugin.models.lmms.base import FrozenLMM
from flmm_plugin.models.lmms.text import PromptError
from flmm_plugin.structures import ImageInputs, LMMInputs


def image_text(lmm: FrozenLMM) -> str:
    """What stands for an image in a prompt, with the marks around it where the chat template writes them."""
    token = image_token(lmm)
    one, two = (
        lmm.processor.apply_chat_template(
            [{'role': 'user', 'content': [*[{'type': 'image'}] * images, {'type': 'text', 'text': '~'}]}]
        )
        for images in (1, 2)
    )
    start = next(at for at in range(len(two)) if not one.startswith(two[: at + 1]))
    further = two[start : start + len(two) - len(one)].strip()
    return further if token in further else token


def image_token(lmm: FrozenLMM) -> str:
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
    pictures = [image, detail]
    made, vision = lmm.join_images(pictures, [lmm.preprocess(picture) for picture in pictures])
    before, between, after = ids[:first], ids[first + 1 : second], ids[second + 1 :]
    input_ids = torch.cat([before, image_block(lmm, made[0]), between, image_block(lmm, made[1]), after])
    gaps = (first, len(between))
    per_token = {
        name: torch.cat([F.pad(one.per_token[name], (gap, 0)) for one, gap in zip(made, gaps, strict=True)])
        for name in made[0].per_token
    }
    return LMMInputs(
        input_ids,
        torch.full_like(input_ids, -1),
        vision,
        tuple(grid.shift(first) for grid in made[0].grids),
        made[0].target_size,
        per_token=per_token,
    )


def image_block(lmm: FrozenLMM, made: ImageInputs) -> Tensor:
    """The ids of all tokens that an image takes."""
    return torch.full((made.num_tokens,), lmm.image_token_id) if made.token_ids is None else made.token_ids
