"""A conversation about one image: history and cache are kept, every answer is grounded.

An answer costs what the LMM's own ``generate`` costs, plus one short pass over the answer's tokens that captures what
its phrases attend to. The image passes through the LMM once.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from flmm_plugin.apis.cache_budget import cache_bytes
from flmm_plugin.apis.generation import plan_generation
from flmm_plugin.apis.generation_arguments import blamed_on, check_arguments
from flmm_plugin.apis.grounding import Grounder, Seen
from flmm_plugin.apis.phrases import Phrase, phrase_ids, token_spans
from flmm_plugin.apis.results import GroundedAnswer
from flmm_plugin.apis.streaming import OnText, Stream
from flmm_plugin.apis.turns import next_turn
from flmm_plugin.errors import UserError
from flmm_plugin.models.capture.positions import KeptTokens
from flmm_plugin.models.presence.questions import ask_for, question_samples, yes_margins
from flmm_plugin.structures import LMMInputs, LMMOutputs, size_of
from flmm_plugin.texts import says_something


@dataclass(frozen=True)
class Said:
    """An answer: its text, all ``tokens`` up to its end, and what its phrases were seen to attend to."""

    answer: str
    tokens: LMMInputs
    seen: Seen


class Conversation:
    """Questions about one uint8 image (3, H, W) and grounded answers; made by :meth:`FLMMInferencer.converse`.

    ``turns``: the answers so far.
    """

    def __init__(self, grounder: Grounder, image: Tensor) -> None:
        self.grounder, self.image = grounder, image
        self.lmm = grounder.model.lmm
        self.turns: list[GroundedAnswer] = []
        self._said: LMMInputs | None = None  # all tokens so far, the image's among them
        self._past = KeptTokens()  # keys and values of the tokens in self._cached
        self._cached = torch.empty(0, dtype=torch.long)

    def ask(
        self,
        question: str,
        *,
        on_text: OnText | None = None,
        stop: threading.Event | None = None,
        begin: str = '',
        **generation: Any,
    ) -> GroundedAnswer:
        """Answer a question and ground the phrases of the answer.

        Args:
            on_text: called with pieces of the answer while it is generated.
            stop: ends the answer early once it is set.
            begin: words put into the LMM's mouth, which it goes on from; they are no part of the result's answer.
            generation: arguments of the LMM's ``generate``; greedy and at most 128 new tokens without them. Which there
                are, and which are refused: :mod:`flmm_plugin.apis.generation_arguments`.

        Raises:
            ArgumentError: an argument of ``generate`` is unknown, or not possible here.
            ContextError: the conversation has become longer than the LMM reads.
        """
        check_question(question)
        check_arguments(generation)
        with self.grounder.lock, torch.inference_mode():
            prompt = self._prompt(question)
            prompt = prompt.follow(self.lmm.processor.tokenizer(begin, add_special_tokens=False)['input_ids'])
            said = self.look_at(prompt, self._generate(prompt, generation, on_text, stop))
            (grounded,) = self.grounder.ground_batch([said.seen])
            self.grounder.caches.use(self)
        self._said = said.tokens
        result = GroundedAnswer(question, said.answer, grounded, size_of(self.image))
        self.turns.append(result)
        return result

    def begin_from(self, prompt: LMMInputs, past: KeptTokens | None) -> None:
        """Take over the keys and values of the first prompt, which was read together with others."""
        if past is not None:
            self._past, self._cached = past, prompt.input_ids

    def look_at(self, prompt: LMMInputs, ids: list[int]) -> Said:
        """Find the phrases of an answer (its ``ids``), and read it again to see what they attend to."""
        if self.lmm.image_token_id in ids:
            raise UserError(
                'the LMM wrote its image token in the answer, where no image is: '
                f'forbid it by suppress_tokens=[{self.lmm.image_token_id}]'
            )
        answer, spans = token_spans(self.lmm.processor.tokenizer, ids)
        tokens = prompt.follow(ids)
        phrases = self.grounder.extractor(answer, lambda request: self._aside(tokens, request))
        owners = phrase_ids(spans, phrases)
        kept = [index for index in range(len(phrases)) if (owners == index).any()]
        seen = Seen(self.image, [phrases[index] for index in kept])
        if kept:
            numbers = torch.full((int(owners.max()) + 2,), -1)
            numbers[kept] = torch.arange(len(kept))
            inputs = prompt.follow(ids, numbers[owners])
            seen = replace(seen, inputs=inputs, outputs=self._read_answer(prompt, inputs))
            seen = replace(seen, asked=self._ask_for(seen.phrases))
        return Said(answer, tokens, seen)

    @property
    def cache_bytes(self) -> int:
        """What the keys and values of the tokens so far take."""
        return cache_bytes(self._past)

    def forget(self) -> None:
        """Give the memory of the cache back; the conversation is read again when it goes on."""
        self._past, self._cached = KeptTokens(), self._cached[:0]

    def stream(self, question: str, **arguments: Any) -> Stream:
        """Pieces of the answer as they are generated; the stream's ``result`` is the grounded answer in the end."""
        check_question(question)
        return Stream(lambda on_text, stop: self.ask(question, on_text=on_text, stop=stop, **arguments))

    def _prompt(self, question: str) -> LMMInputs:
        """Everything up to where the next answer begins."""
        if self._said is None:
            return self.lmm.prepare(self.image, question)
        turn = next_turn(self.lmm, self.turns[0].question, question, self._said.input_ids.tolist())
        return self._said.follow(turn)

    def _generate(
        self,
        prompt: LMMInputs,
        arguments: Mapping[str, Any],
        on_text: OnText | None = None,
        stop: threading.Event | None = None,
    ) -> list[int]:
        """The ids that the LMM's own ``generate`` gives; the cache holds the prompt afterwards, or nothing."""
        tokens = len(prompt.input_ids)
        with blamed_on(arguments):
            generation = plan_generation(self.lmm, tokens, arguments, on_text, stop)
        # `generate` wants something to read: at least the last token of the prompt.
        known = min(common_length(self._cached, prompt.input_ids), tokens - 1)
        self._cached = self._cached[:0]  # so that nothing is believed of a cache that an error left half written
        if generation.alone or not known:
            known, self._past = 0, KeptTokens()
        past = None if generation.alone else self._past
        with blamed_on(arguments):
            sequence = self.lmm.answer(prompt, past, known, **generation.options)
        self._cached = sequence[0, : self._past.get_seq_length()].cpu()
        ids = sequence[0, tokens:].tolist()
        generation.tell(prompt.input_ids, ids)
        return ids

    def _read_answer(self, prompt: LMMInputs, inputs: LMMInputs) -> LMMOutputs:
        """The second pass over an answer's tokens, which go on from the prompt's keys and values."""
        read = len(prompt.input_ids)
        if common_length(self._cached, prompt.input_ids) < read:
            read = prompt.kept_length
            self._past = self.lmm.read(prompt.first(read))
        self._cached = prompt.input_ids[:read]  # that much is left
        return self.lmm.forward_cached(inputs, self._past, read)

    def _ask_for(self, phrases: Sequence[Phrase]) -> Tensor | None:
        """(P,) log odds that phrases are there, as the LMM answers; the picture's keys and values are gone on from."""
        question = self.grounder.model.presence_question
        if question is None:
            return None
        asked = [ask_for(question, phrase.text) for phrase in phrases]
        return yes_margins(self.lmm, [self._read_aside(one) for one in question_samples(self.lmm, self.image, asked)])

    def _read_aside(self, sample: LMMInputs) -> LMMOutputs:
        """Read a text about the picture that does not stay in the conversation."""
        shared = min(common_length(self._cached, sample.input_ids), sample.trunk_length, int(sample.phrase_rows[0]))
        if (sample.input_ids[shared:] == self.lmm.image_token_id).any():
            return self.lmm.read_batch([sample])[0]
        self._cached = self._cached[:shared]
        return self.lmm.forward_cached(sample, self._past, shared)

    def _aside(self, said: LMMInputs, request: str, max_new_tokens: int | None = None) -> str:
        """A reply that does not stay in the conversation."""
        first = self.turns[0].question if self.turns else request
        tokens = next_turn(self.lmm, first, request, said.input_ids.tolist())
        ids = self._generate(said.follow(tokens), dict(max_new_tokens=max_new_tokens))
        return token_spans(self.lmm.processor.tokenizer, ids)[0]


def common_length(first: Tensor, second: Tensor) -> int:
    """How many ids two sequences (N,) and (M,) begin with alike."""
    shared = min(len(first), len(second))
    return int((first[:shared] == second[:shared]).long().cumprod(0).sum())


def check_question(question: str) -> None:
    """Refuse what is no question."""
    if not isinstance(question, str) or not says_something(question):
        raise UserError('the question is empty: ask something about the image')
