"""From a question and an answer in segments to tokens, the image's among them.

Shape shorthand: M tokens of the text, the image being one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from flmm_plugin.errors import UserError
from flmm_plugin.structures import ImageInputs, LMMInputs, Segment


class PromptError(UserError, ValueError):
    """Text that cannot be grounded: no image in it, or a phrase without tokens."""


def tokenize(tokenizer: Any, question: str, segments: Sequence[Segment]) -> tuple[Tensor, Tensor, Tensor]:
    """``input_ids``, ``phrase_ids`` and ``branch_ids``, each (M,) int64, of a rendered question and an answer."""
    # Some chat templates write the BOS token out, others leave it to the tokenizer.
    has_bos = bool(tokenizer.bos_token) and question.startswith(tokenizer.bos_token)
    ids = list(tokenizer(question, add_special_tokens=not has_bos)['input_ids'])
    phrases = [-1] * len(ids)
    branches = [-1] * len(ids)
    for segment in segments:
        tokens = tokenizer(segment.text, add_special_tokens=False)['input_ids']
        if not tokens and segment.phrase >= 0:
            raise PromptError(f'phrase {segment.phrase} ({segment.text!r}) has no token')
        ids += tokens
        phrases += [segment.phrase] * len(tokens)
        branches += [segment.branch] * len(tokens)
    return torch.tensor(ids), torch.tensor(phrases), torch.tensor(branches)


def expand_image(
    input_ids: Tensor,
    phrase_ids: Tensor,
    branch_ids: Tensor | None,
    image_token_id: int,
    preprocess: Callable[[], ImageInputs],
) -> LMMInputs:
    """Replace the one image token of a text by the image's tokens.

    Args:
        input_ids, phrase_ids, branch_ids: (M,) int64, see :class:`LMMInputs`; without any branch the last is ignored.
        preprocess: makes the image's inputs, once the text is known to be right.
    """
    places = (input_ids == image_token_id).nonzero().flatten().tolist()
    if len(places) != 1:
        raise PromptError(
            f'the text must hold the image token (id {image_token_id}) once, found {len(places)}: '
            + ('the question or a phrase names it, write that otherwise' if places else 'check the chat template')
        )
    missing = set(range(int(phrase_ids.max()) + 1)) - set(phrase_ids.tolist())
    if missing:
        raise PromptError(f'phrases {sorted(missing)} have no token')
    if branch_ids is not None and not (branch_ids >= 0).any():
        branch_ids = None
    if branch_ids is not None and (branch_ids.clamp(max=0).diff() < 0).any():
        raise PromptError('text without a branch must come before all branches')
    start, made = places[0], preprocess()

    def expand(ids: Tensor, value: int) -> Tensor:
        return torch.cat([ids[:start], ids.new_full((made.num_tokens,), value), ids[start + 1 :]])

    block = made.token_ids
    if block is None:
        block = input_ids.new_full((made.num_tokens,), image_token_id)
    return LMMInputs(
        input_ids=torch.cat([input_ids[:start], block, input_ids[start + 1 :]]),
        phrase_ids=expand(phrase_ids, -1),
        vision=made.vision,
        grids=tuple(grid.shift(start) for grid in made.grids),
        target_size=made.target_size,
        branch_ids=None if branch_ids is None else expand(branch_ids, -1),
        per_token={name: F.pad(value, (start, 0)) for name, value in made.per_token.items()},
    )
