"""Inputs of a wanted length for any LMM: a picture of noise, and random text with phrases in it.

Shape shorthand: M tokens of the text, the image being one of them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from flmm_plugin.errors import UserError
from flmm_plugin.models.lmms import FrozenLMM
from flmm_plugin.structures import LMMInputs

IMAGE_SIZE = (480, 640)
TOKENS_BEFORE_IMAGE = 4
TOKENS_PER_PHRASE = 4
#: Beside the image's, where the length of the text is not asked for.
TEXT_TOKENS = 64


def make_inputs(lmm: FrozenLMM, tokens: int, phrases: int) -> LMMInputs:
    """A sample of ``tokens`` tokens, the image's included; see :func:`make_text`."""
    return lmm.prepare_tokens(make_image(torch.Generator().manual_seed(0)), *make_text(lmm, tokens, phrases))


def make_image(generator: torch.Generator) -> Tensor:
    """A picture of noise, uint8 (3, 480, 640)."""
    return torch.randint(0, 256, (3, *IMAGE_SIZE), dtype=torch.uint8, generator=generator)


def make_text(lmm: FrozenLMM, tokens: int, phrases: int) -> tuple[Tensor, Tensor]:
    """Random text with phrases of 4 tokens, a token between two.

    Returns:
        ``input_ids`` and ``phrase_ids``, each (M,) int64, that take ``tokens`` tokens once the image is expanded.

    Raises:
        UserError: they cannot, see :func:`check_room`.
    """
    image = image_tokens(lmm)
    check_room(tokens, phrases, image)
    length = tokens - image + 1
    generator = torch.Generator().manual_seed(0)
    input_ids = torch.randint(lmm.config.text_config.vocab_size - 1, (length,), generator=generator)
    input_ids += input_ids >= lmm.image_token_id  # of all ids that one is never drawn
    input_ids[TOKENS_BEFORE_IMAGE] = lmm.image_token_id
    phrase_ids = torch.full_like(input_ids, -1)
    lay_out_phrases(phrase_ids[TOKENS_BEFORE_IMAGE + 1 :], phrases)
    return input_ids, phrase_ids


def lay_out_phrases(phrase_ids: Tensor, phrases: int) -> None:
    """Write the phrases into ``phrase_ids``, 4 tokens each and one between two, from the first token on."""
    for phrase in range(phrases):
        phrase_ids[phrase * (TOKENS_PER_PHRASE + 1) :][:TOKENS_PER_PHRASE] = phrase


def image_tokens(lmm: FrozenLMM) -> int:
    """How many tokens the picture takes."""
    return lmm.preprocess(make_image(torch.Generator().manual_seed(0))).num_tokens


def text_tokens(phrases: int) -> int:
    """How many tokens the text takes at least, the image not counted."""
    return TOKENS_BEFORE_IMAGE + phrases * (TOKENS_PER_PHRASE + 1)


def check_room(tokens: int, phrases: int, image: int = 1) -> None:
    """Raise :class:`UserError` if an image of ``image`` tokens and the phrases do not fit in ``tokens`` tokens."""
    least = image + text_tokens(max(phrases, 1))
    if phrases < 1 or tokens < least:
        raise UserError(
            f'{tokens} tokens have no room for an image and {phrases} phrases: --tokens must be at least {least} here, '
            '--phrases at least 1'
        )
