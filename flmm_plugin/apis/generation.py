"""How one answer is generated: the arguments of ``generate`` as a conversation hands them on."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, StoppingCriteria

from flmm_plugin.apis.generation_arguments import ArgumentError, check_arguments
from flmm_plugin.apis.streaming import OnText, StopWhen, TextStreamer
from flmm_plugin.models.lmms.base import FrozenLMM
from flmm_plugin.models.lmms.context import SHORTEN, room_for_answer

MAX_NEW_TOKENS = 128


@dataclass(frozen=True)
class Generation:
    """``options`` of ``generate``.

    ``alone``: it keeps keys and values of its own, so that it cannot go on from a conversation's.
    ``streamer``: takes the answer once it is whole, where ``generate`` cannot hand it on in pieces.
    ``room``: how many tokens the answer may have; None where the caller asked for no more than the LMM has room for.
    """

    options: dict[str, Any]
    alone: bool
    streamer: Any
    room: int | None

    def tell(self, prompt: Tensor, ids: list[int]) -> None:
        """Hand the answer's ``ids`` on that were not streamed, and warn where the LMM had no room for more.

        Args:
            prompt: (N,) int64.
        """
        if self.streamer is not None:
            self.streamer.put(prompt)
            self.streamer.put(torch.tensor(ids))
            self.streamer.end()
        if len(ids) == self.room:
            warnings.warn(f'The answer was ended at the last token that the LMM reads: {SHORTEN}.', stacklevel=2)


def plan_generation(
    lmm: FrozenLMM,
    tokens: int,
    arguments: Mapping[str, Any],
    on_text: OnText | None = None,
    stop: threading.Event | None = None,
) -> Generation:
    """What ``arguments`` of ``generate`` come to after a prompt of so many ``tokens``; greedy without any.

    Raises:
        ArgumentError: see :func:`check_arguments`.
        ContextError: the prompt leaves no room for an answer.
    """
    check_arguments(arguments)
    options = {name: value for name, value in arguments.items() if name != 'tokenizer'}
    own: GenerationConfig = lmm.model.generation_config
    if options.get('generation_config') is None:
        options.setdefault('do_sample', False)
    several = (_chosen(options, 'num_beams') or getattr(own, 'num_beams', None) or 1) > 1
    alone = several or _chosen(options, 'use_cache') is False or _asks_for_another_cache(options)
    if not alone:
        options |= dict(use_cache=True, cache_implementation=None)  # whatever the checkpoint asks for
    options |= dict(num_return_sequences=1, return_dict_in_generate=False)

    streamer = options.pop('streamer', None)
    if on_text is not None and streamer is not None:
        raise ArgumentError('streamer and on_text (or stream) are two ways to the same text: choose one')
    if on_text is not None:
        streamer = TextStreamer(lmm.processor.tokenizer, on_text)
    if not several:
        options['streamer'] = streamer

    words = options.pop('stop_strings', None) or _chosen(options, 'stop_strings') or getattr(own, 'stop_strings', None)
    criteria = list(options.pop('stopping_criteria', None) or ())
    if words:
        criteria.append(StopAtStrings(lmm.processor.tokenizer, [words] if isinstance(words, str) else words, tokens))
    if stop is not None:
        criteria.append(StopWhen(stop))
    processors = list(options.pop('logits_processor', None) or ())
    room = room_for_answer(lmm, tokens)
    wanted, options = _with_end(options, tokens)
    short = room if room is not None and room < wanted else None
    if short is not None:
        options['max_new_tokens'] = short
    options |= dict(stop_strings=None, stopping_criteria=criteria, logits_processor=processors)
    return Generation(options, alone, streamer if several else None, short)


def _chosen(options: Mapping[str, Any], name: str) -> Any:
    """What the caller set ``name`` to, by itself or in a ``generation_config``; None where to nothing."""
    if options.get(name) is not None:
        return options[name]
    return getattr(options.get('generation_config'), name, None)


def _asks_for_another_cache(options: Mapping[str, Any]) -> bool:
    names = ('cache_implementation', 'prompt_lookup_num_tokens', 'assistant_model')
    return any(_chosen(options, name) is not None for name in names)


def _with_end(options: dict[str, Any], tokens: int) -> tuple[int, dict[str, Any]]:
    """How long the answer may become, and options that say so; ``MAX_NEW_TOKENS`` where the caller says nothing."""
    most = _chosen(options, 'max_new_tokens')
    if most is not None:
        return most, options
    whole = _chosen(options, 'max_length')
    if whole is None or whole == getattr(GenerationConfig(), 'max_length', None):
        return MAX_NEW_TOKENS, {**options, 'max_new_tokens': MAX_NEW_TOKENS}
    if whole <= tokens:
        raise ArgumentError(f'max_length={whole} counts the prompt, which has {tokens} tokens: give max_new_tokens')
    return whole - tokens, options


class StopAtStrings(StoppingCriteria):
    """Ends an answer with the token that completes one of the ``words``.

    transformers' own looks for them in the tokens of the vocabulary, which fails where these are words.

    Args:
        tokens: length of the prompt, which is not looked at.
    """

    def __init__(self, tokenizer: Any, words: list[str], tokens: int) -> None:
        self.tokenizer, self.words, self.tokens = tokenizer, list(words), tokens
        self.window = max(len(word.encode()) for word in self.words) + 4  # tokens that may hold the longest word

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Any:
        texts = [self.tokenizer.decode(row[self.tokens :][-self.window :]) for row in input_ids]
        found = [any(word in text for word in self.words) for text in texts]
        return torch.tensor(found, device=input_ids.device)
