"""Train the tiny LMM that ships with the project, from scratch, on what can be said of scenes.

It reads captions and questions with answers, and never a mask or a position. Three stages: the vision tower learns to
tell which words a caption holds (of small pictures of one thing, then of whole scenes), a stand-in for CLIP's
pretraining; then the whole model learns captions, lists of referring expressions and answers to questions.

    python tools/train_tiny_lmm.py OUT_DIR [--steps 500 400 2400] [--seed 0] [--threads 2]
    python tools/train_tiny_lmm.py OUT_DIR --eval-only          # accuracy on held-out scenes
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
from transformers import AutoProcessor, LlavaForConditionalGeneration

from flmm_plugin.tiny.conversations import (
    HELD_OUT,
    Conversations,
    ShareImage,
    answer_logits,
    bag_of_words,
    image_prefix,
    stack_images,
    teacher_forced_accuracy,
)
from flmm_plugin.tiny.fitting import fit
from flmm_plugin.tiny.lmm import WordReader, build_model, build_processor, init_vision


def batches(dataset: Conversations, collate: Callable[[list], Any], size: int) -> Iterator[Any]:
    return iter(DataLoader(dataset, size, num_workers=1, collate_fn=collate, prefetch_factor=8))


def train_vision(model: LlavaForConditionalGeneration, tokenizer: Any, args: argparse.Namespace) -> None:
    words = len(tokenizer)
    plain = Conversations(tokenizer, args.seed, words_only=True)
    init_vision(model.model.vision_tower, stack_images([plain.sample(10 * HELD_OUT + i) for i in range(200)]))
    reader = WordReader(model.model.vision_tower, words)

    def loss(batch: tuple[Tensor, Tensor]) -> Tensor:
        return F.binary_cross_entropy_with_logits(reader(batch[0]), batch[1]) * 10

    for number, (small, size, log) in enumerate(((True, 64, 'one thing'), (False, 32, 'scenes'))):
        data = Conversations(tokenizer, args.seed + 1 + number, small=small, words_only=True)
        pictures = batches(data, lambda batch: bag_of_words(batch, words), size)
        fit(loss, pictures, reader.named_parameters(), lr=args.lr, steps=args.steps[number], log=log)


def train_language(
    model: LlavaForConditionalGeneration, tokenizer: Any, args: argparse.Namespace, evaluate: Callable[[], str]
) -> None:
    prefix = image_prefix(tokenizer)
    collate = ShareImage(len(prefix), tokenizer.pad_token_id)

    def loss(batch: dict[str, Tensor]) -> Tensor:
        logits = answer_logits(model, prefix, batch)
        return F.cross_entropy(logits.flatten(0, 1), batch['labels'].flatten(), ignore_index=-100)

    talk = batches(Conversations(tokenizer, args.seed + (6 if args.init else 3)), collate, args.batch)
    fit(loss, talk, model.named_parameters(), lr=args.lr, steps=args.steps[2], log='language', evaluate=evaluate)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out_dir', type=Path)
    parser.add_argument('--steps', type=int, nargs=3, default=(500, 400, 2400), help='one thing, scenes, language')
    parser.add_argument('--lr', type=float, default=2e-3)
    parser.add_argument('--batch', type=int, default=16)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--init', type=Path, help='go on from this model instead of random weights')
    parser.add_argument('--eval-only', action='store_true', help='measure the model in OUT_DIR')
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    if args.eval_only:
        model = LlavaForConditionalGeneration.from_pretrained(args.out_dir)
        tokenizer = AutoProcessor.from_pretrained(args.out_dir).tokenizer
        print(json.dumps(teacher_forced_accuracy(model, tokenizer, args.seed, 1000)))
        return
    processor = build_processor()
    model = LlavaForConditionalGeneration.from_pretrained(args.init) if args.init else build_model(processor)
    print(f'{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters', flush=True)

    def save(scenes: int = 200) -> str:
        model.save_pretrained(args.out_dir)
        processor.save_pretrained(args.out_dir)
        return json.dumps(teacher_forced_accuracy(model, processor.tokenizer, args.seed, scenes))

    if args.init is None:
        train_vision(model, processor.tokenizer, args)
    train_language(model, processor.tokenizer, args, save)
    print(save(1000))


if __name__ == '__main__':
    main()
