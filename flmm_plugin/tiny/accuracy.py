"""How well a tiny LMM tells what scenes show, by kind of word and by kind of question."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import ProcessorMixin

from flmm_plugin.datasets.scenes import language
from flmm_plugin.datasets.scenes.world import COLORS, SHAPES, SIZES, STUFF
from flmm_plugin.tiny.conversations import HELD_OUT, Conversations, answer_logits
from flmm_plugin.tiny.family import TinyFamily

WORDS = {
    'color': set(COLORS),
    'shape': {*SHAPES, *map(language.plural, SHAPES)},
    'size': set(SIZES),
    'stuff': set(STUFF),
}
BATCH = 20


@torch.no_grad()
def measure_accuracy(
    family: TinyFamily, model: Any, processor: ProcessorMixin, seed: int, num: int
) -> dict[str, dict[str, float]]:
    """Accuracy over ``num`` held-out scenes, teacher forced.

    Returns:
        ``words``: the next word of captions, all and by kind of word; ``answers``: whole answers by kind of question
        (those to "Is there a ...?" by what is right as well), the caption among them. A whole answer is right when
        every word of it is, its end included: greedy answering then says the same.
    """
    scenes = Conversations(family, processor, seed, batch=BATCH)
    vocabulary = processor.tokenizer.convert_ids_to_tokens(range(len(processor.tokenizer)))
    words: dict[str, list[bool]] = {kind: [] for kind in ('all', *WORDS)}
    answers: dict[str, list[bool]] = {}
    for start in range(0, num, BATCH):
        samples = [scenes.sample(HELD_OUT + index) for index in range(start, min(start + BATCH, num))]
        batch = scenes.share_image(samples)
        right = answer_logits(family, model, batch).argmax(-1) == batch['labels']
        for row, sample in enumerate(samples):
            for number, (kind, (_, answer)) in enumerate(zip(sample['kinds'], sample['blocks'], strict=True)):
                here = (batch['block'][row] == number) & (batch['labels'][row] >= 0)
                hits, said = right[row, here].tolist(), [vocabulary[token] for token in answer]
                if kind != 'list':  # in random order: no answer is the one right answer
                    for name in (kind, f'exists: {said[0]}') if kind == 'exists' else (kind,):
                        answers.setdefault(name, []).append(all(hits))
                if kind == 'caption':
                    words['all'] += hits
                    for name, members in WORDS.items():
                        words[name] += [hit for hit, word in zip(hits, said, strict=True) if word in members]
    return {'words': _means(words), 'answers': _means(dict(sorted(answers.items())))}


def _means(hits: dict[str, list[bool]]) -> dict[str, float]:
    return {name: round(float(np.mean(values)), 4) for name, values in hits.items() if values}
