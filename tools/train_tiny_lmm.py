"""Train a tiny LMM that ships with the project, from scratch, on what can be said of scenes.

It reads captions and questions with answers, and never a mask or a position. Three stages: the vision tower learns to
tell which words a caption holds (of small pictures of one thing, then of whole scenes), a stand-in for CLIP's
pretraining; then the whole model learns captions, lists of referring expressions and answers to questions.

    python tools/train_tiny_lmm.py OUT_DIR [--family qwen2_5_vl] [--steps 500 400 2400] [--seed 0] [--threads 2]
    python tools/train_tiny_lmm.py OUT_DIR --eval-only          # accuracy on held-out scenes

Started again, it goes on from what OUT_DIR/state keeps.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import AutoConfig, AutoProcessor

from flmm_plugin.tiny.accuracy import measure_accuracy
from flmm_plugin.tiny.conversations import HELD_OUT, Conversations, answer_logits, answer_loss
from flmm_plugin.tiny.families import FAMILIES
from flmm_plugin.tiny.family import TinyFamily
from flmm_plugin.tiny.fitting import fit
from flmm_plugin.tiny.word_reader import WordReader


class Recipe:
    """The three stages of a family's training."""

    def __init__(self, family: TinyFamily, model: Any, processor: Any, args: argparse.Namespace) -> None:
        self.family, self.model, self.processor, self.args = family, model, processor, args

    def scenes(self, seed: int, size: int = 1, step: int = 0, **options: bool) -> Conversations:
        return Conversations(self.family, self.processor, seed, batch=size, start=step * size, **options)

    def batches(self, seed: int, size: int, collate: str, **options: bool) -> Callable[[int], Iterator[Any]]:
        def from_step(step: int) -> Iterator[Any]:
            data = self.scenes(seed, size, step, **options)
            return iter(DataLoader(data, size, num_workers=1, collate_fn=getattr(data, collate), prefetch_factor=8))

        return from_step

    def fit(self, number: int, log: str, loss: Callable, data: Callable, named: Any, **options: Any) -> None:
        state = self.args.out_dir / 'state' / f'{number}.pt'
        fit(
            loss,
            data,
            named,
            lr=self.args.lr,
            steps=self.args.steps[number],
            log=log,
            every=self.args.every,
            state=state,
            **options,
        )

    def train_vision(self) -> None:
        family, model, seed = self.family, self.model, self.args.seed
        plain = self.scenes(seed, words_only=True)
        pictures = [plain.sample(10 * HELD_OUT + index)['picture'] for index in range(200)]
        square = [picture for picture in pictures if picture.shape == pictures[0].shape]
        family.init_tower(family.tower(model), family.pixels(self.processor, square))
        reader = WordReader(family, model, len(self.processor.tokenizer))

        def loss(batch: tuple[dict[str, Tensor], Tensor]) -> Tensor:
            return F.binary_cross_entropy_with_logits(reader(batch[0]), batch[1]) * 10

        for number, (small, log) in enumerate(((True, 'one thing'), (False, 'scenes'))):
            data = self.batches(
                seed + 1 + number, self.args.batches[number], 'bag_of_words', small=small, words_only=True
            )
            self.fit(number, log, loss, data, reader.named_parameters())

    def train_language(self, evaluate: Callable[[], str]) -> None:
        def loss(batch: dict[str, Any]) -> Tensor:
            return answer_loss(answer_logits(self.family, self.model, batch), batch)

        talk = self.batches(self.args.seed + (6 if self.args.init else 3), self.args.batches[2], 'share_image')
        self.fit(2, 'language', loss, talk, self.model.named_parameters(), evaluate=evaluate)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out_dir', type=Path)
    parser.add_argument('--family', choices=sorted(FAMILIES), default='llava')
    parser.add_argument('--steps', type=int, nargs=3, default=(500, 400, 2400), help='one thing, scenes, language')
    parser.add_argument('--lr', type=float, default=2e-3)
    parser.add_argument('--batches', type=int, nargs=3, default=(64, 32, 16), help='scenes a step of each stage')
    parser.add_argument('--every', type=int, default=100, help='steps from one state and measurement to the next')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--init', type=Path, help='go on from this model instead of random weights')
    parser.add_argument('--eval-only', action='store_true', help='measure the model in OUT_DIR')
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    source = args.out_dir if args.eval_only else args.init
    family = FAMILIES[args.family if source is None else AutoConfig.from_pretrained(source).model_type]
    processor = family.build_processor() if source is None else AutoProcessor.from_pretrained(source)
    model = family.build_model(processor) if source is None else family.model.from_pretrained(source)

    def measure(scenes: int) -> str:
        return json.dumps(measure_accuracy(family, model, processor, args.seed, scenes))

    if args.eval_only:
        print(measure(1000))
        return
    print(f'{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters', flush=True)

    def save(scenes: int = 200) -> str:
        family.save(model, processor, args.out_dir)
        return measure(scenes)

    recipe = Recipe(family, model, processor, args)
    if args.init is None:
        recipe.train_vision()
    recipe.train_language(save)
    print(save(1000))


if __name__ == '__main__':
    main()
