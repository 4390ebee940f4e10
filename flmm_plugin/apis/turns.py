"""The tokens between one answer and the next."""

from __future__ import annotations

from collections.abc import Sequence

from flmm_plugin.errors import UserError
from flmm_plugin.models.lmms.base import FrozenLMM

# What stands for an answer while the template is asked what follows it; no template strips or splits it.
ANSWER = 'ANSWERxPLACE'


def next_turn(lmm: FrozenLMM, first_question: str, question: str, last_ids: Sequence[int]) -> list[int]:
    """Token ids of a further question, from the end of the last answer to where the next one begins.

    They follow the LMM's chat template. An adapter that renders the question by itself, unlike the template, renders
    the further one as well, after the end-of-text token and without an image.

    Args:
        last_ids: the generated ids of the last answer, with or without the token that ended it.
    """
    tokenizer = lmm.processor.tokenizer
    image = tokenizer.convert_ids_to_tokens(lmm.image_token_id)
    if image in question:
        raise UserError(f'a further question must not hold the image token {image!r}')
    text = template_turn(lmm, first_question, question)
    if text is None:
        rendered = lmm.render(question)
        text = (tokenizer.eos_token or '') + rendered.replace(f'{image}\n', '').replace(image, '')
        if tokenizer.bos_token:
            text = text.replace(tokenizer.bos_token, '')
    ids = list(tokenizer(text, add_special_tokens=False)['input_ids'])
    ended = bool(last_ids) and bool(ids) and last_ids[-1] == ids[0] and ids[0] in tokenizer.all_special_ids
    return ids[1:] if ended else ids


def template_turn(lmm: FrozenLMM, first_question: str, question: str) -> str | None:
    """What the chat template puts between an answer and the next one; None where it is not the LMM's own way."""
    if not getattr(lmm.processor, 'chat_template', None):
        return None
    asked = [{'type': 'image'}, {'type': 'text', 'text': first_question}]
    messages = [{'role': 'user', 'content': asked}]
    if lmm.processor.apply_chat_template(messages, add_generation_prompt=True) != lmm.render(first_question):
        return None
    messages += [
        {'role': 'assistant', 'content': [{'type': 'text', 'text': ANSWER}]},
        {'role': 'user', 'content': [{'type': 'text', 'text': question}]},
    ]
    _, found, after = lmm.processor.apply_chat_template(messages, add_generation_prompt=True).partition(ANSWER)
    return after if found else None
