"""What the tiny LMMs are trained on: pictures of scenes and what is said of them. No mask, no position.

Shape shorthand: B pictures, N tokens of the longest text, D hidden width, V words of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info
from transformers import ProcessorMixin

from flmm_plugin.datasets.scenes import Scene, language, render, sample_scene
from flmm_plugin.datasets.scenes.questions import questions
from flmm_plugin.tiny.family import TinyFamily

QUESTIONS = 10
DECIDING = 4.0  # weight of "yes" and "no": each answers a question alone, among some 80 words that are said of a scene
ABOVE = 4.0  # of the words of what is above a thing: few scenes have them, and that thing must be found first
HELD_OUT = 10**6  # index of the first scene that training never reaches


@dataclass(frozen=True)
class Frame:
    """The chat template around a picture and a question."""

    before: list[int]
    after: list[int]
    tail: str
    image_token: int

    @classmethod
    def of(cls, processor: ProcessorMixin) -> Frame:
        question, tokenizer = 'what', processor.tokenizer
        content = [{'type': 'image'}, {'type': 'text', 'text': question}]
        rendered = processor.apply_chat_template([{'role': 'user', 'content': content}], add_generation_prompt=True)
        before, rest = rendered.split(processor.image_token)
        after, tail = rest.split(question)
        start, end = (tokenizer(part, add_special_tokens=False)['input_ids'] for part in (before, after))
        return cls(start, end, tail, tokenizer.convert_tokens_to_ids(processor.image_token))

    def prefix(self, num_tokens: int) -> Tensor:
        """Token ids up to the question, the picture being ``num_tokens``."""
        return torch.tensor([*self.before, *[self.image_token] * num_tokens, *self.after])


class Conversations(IterableDataset):
    """Endless scenes, each drawn from (seed, index), with a caption, a list of expressions and questions.

    Args:
        batch: so many scenes in a row have the same size.
        start: index of the first scene.
        small: small pictures of one thing.
        words_only: the words of the caption in place of conversations.
    """

    def __init__(
        self,
        family: TinyFamily,
        processor: ProcessorMixin,
        seed: int,
        *,
        batch: int = 16,
        start: int = 0,
        small: bool = False,
        words_only: bool = False,
    ) -> None:
        self.family, self.processor, self.frame = family, processor, Frame.of(processor)
        self.seed, self.batch, self.start, self.small, self.words_only = seed, batch, start, small, words_only

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        index, step = (worker.id, worker.num_workers) if worker else (0, 1)
        while True:
            yield self.sample(self.start + index)
            index += step

    def ids(self, text: str) -> list[int]:
        return self.processor.tokenizer(text, add_special_tokens=False)['input_ids']

    def block(self, question: str, answer: str) -> tuple[list[int], list[int]]:
        """Token ids of a question, up to where its answer begins, and of the answer."""
        return self.ids(question + self.frame.tail), [*self.ids(answer), self.processor.tokenizer.eos_token_id]

    def scene(self, index: int) -> tuple[Scene, np.random.Generator]:
        """Scene ``index``, and what goes on to draw what is said of it."""
        rng = np.random.default_rng([self.seed, index])
        return sample_scene(rng, self.family.small, 1) if self.small else sample_scene(rng, self._canvas(index)), rng

    def sample(self, index: int) -> dict[str, Any]:
        scene, rng = self.scene(index)
        picture = render(scene)[0]
        caption = ' '.join(span.text for span in language.narrative(scene))
        if self.words_only:
            return {'picture': picture, 'words': self.ids(caption)}
        asked = [('caption', language.DESCRIBE, caption), ('list', language.LIST, language.listing(scene, rng))]
        asked += questions(scene, rng, QUESTIONS)
        blocks = [self.block(question, answer) for _, question, answer in asked]
        return {'picture': picture, 'blocks': blocks, 'kinds': [kind for kind, _, _ in asked]}

    def _canvas(self, index: int) -> tuple[int, int]:
        sizes = self.family.canvases
        return sizes[np.random.default_rng([self.seed, index // self.batch, 1]).integers(len(sizes))]

    def bag_of_words(self, batch: list[dict[str, Any]]) -> tuple[dict[str, Tensor], Tensor]:
        """Pictures, and which words their captions hold, (B, V)."""
        bags = torch.zeros(len(batch), len(self.processor.tokenizer))
        for row, sample in enumerate(batch):
            bags[row, sample['words']] = 1
        return self._pixels(batch), bags

    def share_image(self, batch: list[dict[str, Any]]) -> dict[str, Any]:
        """Collate conversations: each sees the image's prefix and itself, and its positions follow the prefix.

        Returns:
            ``pixels`` of the family, ``prefix`` ids, and (B, N) each: ``ids``, ``labels`` (the next token of an answer,
            -100 elsewhere), ``weights`` of labels, ``places`` after the prefix, ``block`` (which conversation, -1 for
            padding).
        """
        shape = (len(batch), max(sum(len(q) + len(a) for q, a in sample['blocks']) for sample in batch))
        ids, labels = torch.full(shape, self.processor.tokenizer.pad_token_id), torch.full(shape, -100)
        block, places = torch.full(shape, -1), torch.zeros(shape, dtype=torch.long)
        weights = torch.ones(shape)
        for row, sample in enumerate(batch):
            at = 0
            for number, (question, answer) in enumerate(sample['blocks']):
                tokens = question + answer
                here = slice(at, at + len(tokens))
                ids[row, here] = torch.tensor(tokens)
                block[row, here] = number
                places[row, here] = torch.arange(len(tokens))
                first = at + len(question) - 1
                labels[row, first : first + len(answer)] = torch.tensor(answer)
                if sample['kinds'][number] == 'exists':
                    weights[row, first] = DECIDING
                elif sample['kinds'][number] == 'above':
                    weights[row, first : first + len(answer)] = ABOVE
                at += len(tokens)
        pixels = self._pixels(batch)
        prefix = self.frame.prefix(self.family.num_tokens(pixels))
        return dict(pixels=pixels, prefix=prefix, ids=ids, labels=labels, weights=weights, places=places, block=block)

    def _pixels(self, batch: list[dict[str, Any]]) -> dict[str, Tensor]:
        return self.family.pixels(self.processor, [sample['picture'] for sample in batch])


def answer_logits(family: TinyFamily, model: Any, batch: dict[str, Any]) -> Tensor:
    """Next-word logits of all text tokens, (B, N, V)."""
    return model.lm_head(answer_states(family, model, batch))


def answer_loss(logits: Tensor, batch: dict[str, Any]) -> Tensor:
    """Weighed cross-entropy of the answers' words under next-word ``logits`` (B, N, V)."""
    each = F.cross_entropy(logits.transpose(1, 2), batch['labels'], ignore_index=-100, reduction='none')
    weights = batch['weights'] * (batch['labels'] >= 0)
    return (each * weights).sum() / weights.sum()


def answer_states(family: TinyFamily, model: Any, batch: dict[str, Any]) -> Tensor:
    """The language model's last hidden states of all text tokens, (B, N, D)."""
    prefix, ids, places = batch['prefix'], batch['ids'], batch['places']
    image = family.image_tokens(model, batch['pixels'])
    (shown,) = (prefix == model.config.image_token_id).nonzero(as_tuple=True)
    embed = model.get_input_embeddings()
    before, after = embed(prefix[: shown[0]]), embed(prefix[shown[-1] + 1 :])
    around = [part.expand(len(ids), -1, -1) for part in (before, after)]
    first = family.positions(model, prefix, batch['pixels'])
    start = first.max() + 1
    rows = first[..., None, :].expand(*first.shape[:-1], len(ids), -1)
    hidden = model.model.language_model(
        inputs_embeds=torch.cat([around[0], image, around[1], embed(ids)], 1),
        attention_mask=_shared_mask(batch['block'], len(prefix)),
        position_ids=torch.cat([rows, (start + places).expand(*first.shape[:-1], -1, -1)], -1),
        use_cache=False,
    ).last_hidden_state
    return hidden[:, len(prefix) :]


def _shared_mask(block: Tensor, prefix: int) -> Tensor:
    """Who sees whom, (B, 1, prefix + N, prefix + N), as numbers to add."""
    size = prefix + block.shape[1]
    mask = torch.ones(size, size, dtype=torch.bool).tril().repeat(len(block), 1, 1, 1)
    mask[:, 0, prefix:, prefix:] &= block[:, :, None] == block[:, None]
    return torch.zeros(mask.shape).masked_fill_(~mask, torch.finfo(torch.float32).min)
