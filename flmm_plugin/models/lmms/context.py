"""How many tokens an LMM reads, and what to do where a text has more."""

from __future__ import annotations

from flmm_plugin.errors import UserError
from flmm_plugin.models.lmms.pretrained import PretrainedLMM
from flmm_plugin.structures import LMMInputs

SHORTEN = 'begin a new conversation, ask less at once, or limit the picture (processor_kwargs of AutoLMM)'


class ContextError(UserError):
    """A text is longer than the LMM reads; the message says by how much and what to do."""


def context_length(lmm: PretrainedLMM) -> int | None:
    """The tokens that the LMM's positions were made for; None where it names no bound."""
    found = getattr(lmm.text_config, 'max_position_embeddings', None)
    return found if isinstance(found, int) and found > 0 else None


def room_for_answer(lmm: PretrainedLMM, tokens: int) -> int | None:
    """How many tokens may follow a prompt of so many ``tokens``; None where there is no bound.

    Raises:
        ContextError: there is room for none.
    """
    context = context_length(lmm)
    if context is None:
        return None
    if tokens >= context:
        raise ContextError(f'the conversation has {tokens} tokens by now and {lmm.name} reads {context}: {SHORTEN}')
    return context - tokens


def check_context(lmm: PretrainedLMM, sample: LMMInputs) -> None:
    """Refuse a sample one of whose texts is too long; branches are texts of their own.

    Raises:
        ContextError: says how much of it is the picture.
    """
    context = context_length(lmm)
    longest = sample.trunk_length
    if sample.branch_ids is not None:
        own = sample.branch_ids[sample.branch_ids >= 0]
        longest += int(own.bincount().max()) if len(own) else 0
    if context is None or longest <= context:
        return
    shown = int((sample.input_ids == lmm.image_token_id).sum())
    if shown >= context:
        raise ContextError(
            f'the picture takes {shown} tokens, more than the {context} that {lmm.name} reads: '
            'limit them with processor_kwargs, for example dict(max_pixels=...)'
        )
    raise ContextError(
        f'the prompt has {longest} tokens, {shown} of them the picture, and {lmm.name} reads {context}: shorten it, '
        'or limit the picture with processor_kwargs'
    )
