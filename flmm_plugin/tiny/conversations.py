"""What the tiny LMM is trained on: pictures of scenes and what is said of them. No mask, no position.

Shape shorthand: B pictures, N tokens of the longest text, V words of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerBase

from flmm_plugin.datasets.scenes import language, render, sample_scene
from flmm_plugin.datasets.scenes.world import COLORS, IMAGE_SIZE, SHAPES, SIZES, STUFF
from flmm_plugin.resampling import resize_bicubic
from flmm_plugin.tiny.lmm import SIDE, SIZE, normalize

SMALL = 96  # pixels of the canvas of a picture of one thing
QUESTIONS = 3
HELD_OUT = 10**6  # index of the first scene that training never reaches
KINDS = {
    'color': set(COLORS),
    'shape': {*SHAPES, *map(language.plural, SHAPES)},
    'size': set(SIZES),
    'stuff': set(STUFF),
}


def to_pixels(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An RGB scene (H, W, 3) at the LMM's resolution, resized as grounding does; (3, h, w)."""
    side = round(image.shape[0] * SIZE / IMAGE_SIZE)
    return resize_bicubic(torch.from_numpy(image).permute(2, 0, 1), (side, side)).numpy()


class Conversations(IterableDataset):
    """Endless scenes, each drawn from (seed, index), with a caption, a list of expressions and questions.

    Args:
        small: small pictures of one thing.
        words_only: the words of the caption in place of conversations.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, seed: int, *, small: bool = False, words_only: bool = False
    ) -> None:
        self.tokenizer, self.seed, self.small, self.words_only = tokenizer, seed, small, words_only

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        index, step = (worker.id, worker.num_workers) if worker else (0, 1)
        while True:
            yield self.sample(index)
            index += step

    def ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)['input_ids']

    def sample(self, index: int) -> dict[str, Any]:
        rng = np.random.default_rng([self.seed, index])
        scene = sample_scene(rng, SMALL, 1) if self.small else sample_scene(rng)
        image = to_pixels(render(scene)[0])
        caption = ' '.join(span.text for span in language.narrative(scene))
        if self.words_only:
            return {'image': image, 'words': self.ids(caption)}
        asked = [(language.DESCRIBE, caption), (language.LIST, language.listing(scene, rng))]
        asked += language.questions(scene, rng, QUESTIONS)
        blocks = [(self.ids(f'{q} ASSISTANT:'), [*self.ids(a), self.tokenizer.eos_token_id]) for q, a in asked]
        return {'image': image, 'blocks': blocks}


def stack_images(batch: list[dict[str, Any]]) -> Tensor:
    return torch.from_numpy(np.stack([sample['image'] for sample in batch]))


def bag_of_words(batch: list[dict[str, Any]], words: int) -> tuple[Tensor, Tensor]:
    """Pictures, normalised, and which words their captions hold, (B, words)."""
    bags = torch.zeros(len(batch), words)
    for row, sample in enumerate(batch):
        bags[row, sample['words']] = 1
    return normalize(stack_images(batch)), bags


def image_prefix(tokenizer: PreTrainedTokenizerBase) -> Tensor:
    """Token ids of the chat template up to the end of the image."""
    ids = tokenizer('<s> USER: <image>', add_special_tokens=False)['input_ids']
    return torch.tensor(ids[:-1] + ids[-1:] * SIDE * SIDE)


class ShareImage:
    """Collates conversations: each sees the image's prefix and itself, and its positions follow the prefix."""

    def __init__(self, prefix: int, pad: int) -> None:
        self.prefix, self.pad = prefix, pad

    def __call__(self, batch: list[dict[str, Any]]) -> dict[str, Tensor]:
        shape = (len(batch), max(sum(len(q) + len(a) for q, a in sample['blocks']) for sample in batch))
        ids, labels = torch.full(shape, self.pad), torch.full(shape, -100)
        block, places = torch.full(shape, -1), torch.zeros(shape, dtype=torch.long)
        for row, sample in enumerate(batch):
            at = 0
            for number, (question, answer) in enumerate(sample['blocks']):
                tokens = question + answer
                here = slice(at, at + len(tokens))
                ids[row, here] = torch.tensor(tokens)
                block[row, here] = number
                places[row, here] = torch.arange(len(tokens)) + self.prefix
                labels[row, at + len(question) - 1 : at + len(tokens) - 1] = torch.tensor(answer)  # the next token
                at += len(tokens)
        mask = self._mask(block)
        return dict(images=stack_images(batch), ids=ids, mask=mask, places=places, labels=labels, block=block)

    def _mask(self, block: Tensor) -> Tensor:
        """Who sees whom, (B, 1, prefix + N, prefix + N) bool."""
        start, size = self.prefix, self.prefix + block.shape[1]
        mask = torch.ones(size, size, dtype=torch.bool).tril().repeat(len(block), 1, 1, 1)
        mask[:, 0, start:, start:] &= block[:, :, None] == block[:, None]
        return mask


def answer_logits(model: LlavaForConditionalGeneration, prefix: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """Next-word logits of all text tokens, (B, N, V)."""
    core, count = model.model, len(batch['ids'])
    features = core.vision_tower(normalize(batch['images'])).last_hidden_state[:, 1:]
    embed = core.get_input_embeddings()
    before = embed(prefix[prefix != model.config.image_token_index]).expand(count, -1, -1)
    hidden = core.language_model(
        inputs_embeds=torch.cat([before, core.multi_modal_projector(features), embed(batch['ids'])], 1),
        attention_mask=torch.zeros(batch['mask'].shape).masked_fill_(~batch['mask'], torch.finfo(torch.float32).min),
        position_ids=torch.cat([torch.arange(len(prefix)).expand(count, -1), batch['places']], 1),
        use_cache=False,
    ).last_hidden_state
    return model.lm_head(hidden[:, len(prefix) :])


@torch.no_grad()
def teacher_forced_accuracy(
    model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerBase, seed: int, num: int
) -> dict[str, float]:
    """Accuracy of the next word over ``num`` held-out scenes: captions by kind of word, and answers to questions."""
    prefix = image_prefix(tokenizer)
    collate = ShareImage(len(prefix), tokenizer.pad_token_id)
    scenes = Conversations(tokenizer, seed)
    words = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    hits: dict[str, list[bool]] = {kind: [] for kind in (*KINDS, 'caption', 'answers')}
    for start in range(0, num, 50):
        batch = collate([scenes.sample(HELD_OUT + index) for index in range(start, min(start + 50, num))])
        right = answer_logits(model, prefix, batch).argmax(-1) == batch['labels']
        for label, block, ok in zip(
            *(batch[key].flatten().tolist() for key in ('labels', 'block')), right.flatten().tolist(), strict=True
        ):
            if label >= 0 and block > 1:
                hits['answers'].append(ok)
            if label >= 0 and block == 0:
                for kind in ('caption', *(kind for kind, members in KINDS.items() if words[label] in members)):
                    hits[kind].append(ok)
    return {kind: round(float(np.mean(values)), 4) for kind, values in hits.items()}
