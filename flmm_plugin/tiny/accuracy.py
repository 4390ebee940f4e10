"""How well a tiny LMM tells what scenes show, by kind of word and by kind of question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import ProcessorMixin

from flmm_plugin.datasets.scenes import Scene, language, render
from flmm_plugin.datasets.scenes.existence import WAYS, existence_questions
from flmm_plugin.datasets.scenes.world import COLORS, SHAPES, SIZES, STUFF
from flmm_plugin.evaluation.pope_metric import POPEMetric
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


@torch.no_grad()
def measure_existence(
    family: TinyFamily, model: Any, processor: ProcessorMixin, seed: int, num: int
) -> dict[str, float]:
    """POPE over ``num`` held-out scenes, each asked in all its ways: figures of :class:`POPEMetric`.

    What is read of an answer is its first word, the most probable one.
    """
    data = Conversations(family, processor, seed, batch=BATCH)
    scenes = [data.scene(HELD_OUT + index)[0] for index in range(num)]
    asked, metric = _asked(scenes, seed), POPEMetric()
    for start in range(0, num, BATCH):
        here = slice(start, start + BATCH)
        samples = [
            {'picture': render(scene)[0], 'blocks': [data.block(line['text'], '') for _, line in own]}
            | {'kinds': ['exists'] * len(own)}
            for scene, own in zip(scenes[here], asked[here], strict=True)
        ]
        batch = data.share_image(samples)
        logits = answer_logits(family, model, batch)[batch['labels'] >= 0]  # where answers begin, in the order of lines
        said = processor.tokenizer.convert_ids_to_tokens(logits.argmax(-1).tolist())
        lines = [pair for own in asked[here] for pair in own]
        for answer, (way, line) in zip(said, lines, strict=True):
            about = dict(dataset_name=way, img_id=line['image'], label=line['label'] == 'yes')
            metric.process(None, [dict(protocol='yes_no', answer=answer or '', **about)])
    return metric.evaluate(len(metric.results))


def _asked(scenes: Sequence[Scene], seed: int) -> list[list[tuple[str, dict[str, Any]]]]:
    """What each scene is asked, (way, line of a POPE file) each."""
    shown = [(str(index), [(thing.color, thing.shape) for thing in scene.things]) for index, scene in enumerate(scenes)]
    asked: list[list[tuple[str, dict[str, Any]]]] = [[] for _ in scenes]
    for way in WAYS:
        for line in existence_questions(shown, way, seed):
            asked[int(line['image'])].append((way, line))
    return asked


def _means(hits: dict[str, list[bool]]) -> dict[str, float]:
    return {name: round(float(np.mean(values)), 4) for name, values in hits.items() if values}
