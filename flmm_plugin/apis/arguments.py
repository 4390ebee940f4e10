"""Arguments that the tools which talk have in common."""

from __future__ import annotations

import math
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import Any

from flmm_plugin.apis.grounding import MIN_ATTENTION, MIN_SCORE
from flmm_plugin.apis.inferencer import FLMMInferencer
from flmm_plugin.engine.config import check_parts, load_config
from flmm_plugin.errors import UserError
from flmm_plugin.models.weights.untrained import NONE, is_trained

#: A tiny model, trained by ``make demo``.
SHIPPED = 'flmm_plugin::tiny_flmm'
EXTRACTORS = {'spacy': 'SpacyPhrases', 'rules': 'RulePhrases', 'lmm': 'MarkedPhrases'}


def add_model_arguments(parser: ArgumentParser) -> None:
    """Arguments that say which model is loaded and how its phrases are found."""
    parser.add_argument('--config', help='config file of the model, where the checkpoint is a file')
    parser.add_argument(
        '--checkpoint',
        default=SHIPPED,
        help='a checkpoint of tools/train.py, a folder of tools/export.py, or the name of one on the Hub; a tiny model '
        'that ships with the package by default',
    )
    parser.add_argument('--lmm', help='name or folder of any LMM: it points by its attention alone, nothing trained')
    parser.add_argument('--sam', help="its segmenter: SAM's file, a folder or name of transformers, or none")
    parser.add_argument('--heads', help='its heads file of tools/select_heads.py; else known, chosen or middle ones')
    parser.add_argument('--pictures', help='pictures to choose its heads by on first use: a folder, a glob, a list')
    parser.add_argument('--device', help='torch device; the GPU where there is one by default')
    parser.add_argument('--dtype', help="the LMM's dtype (bfloat16, float16, float32); bfloat16 on a GPU by default")
    parser.add_argument('--load-in-4bit', action='store_true', help='quantise the LMM (needs bitsandbytes)')
    parser.add_argument('--load-in-8bit', action='store_true', help='quantise the LMM (needs bitsandbytes)')
    parser.add_argument(
        '--extractor', choices=sorted(EXTRACTORS), help='who finds the phrases; spacy where installed, else rules'
    )
    parser.add_argument('--min-score', type=float, default=MIN_SCORE, help='predicted IoU below which nothing is shown')
    parser.add_argument(
        '--min-attention', type=float, default=MIN_ATTENTION, help='share of attention on the image, likewise'
    )
    parser.add_argument(
        '--min-presence',
        type=presence_limit,
        metavar='P',
        help='probability that the thing is there below which nothing is shown, or precision=P of what is shown; '
        'needs CHECKPOINT.presence.json',
    )
    parser.add_argument(
        '--ask-presence', action='store_true', help='ask the LMM whether each thing is there: a surer presence'
    )
    parser.add_argument('--instances', action='store_true', help='tell the things of a plural phrase apart')
    parser.add_argument('--max-new-tokens', type=int, default=128, help='longest answer')


def presence_limit(text: str) -> float | dict[str, float]:
    """``0.5``, or ``precision=0.9``."""
    name, _, value = text.rpartition('=')
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if name not in ('', 'precision') or not 0 <= number <= 1:
        raise ArgumentTypeError(f'{text!r}: expected a number between 0 and 1, or precision=NUMBER')
    return dict(precision=number) if name else number


def load_inferencer(args: Namespace, **options: Any) -> FLMMInferencer:
    """The model that :func:`add_model_arguments` described."""
    options |= dict(
        dtype=args.dtype,
        load_in_4bit=args.load_in_4bit,
        load_in_8bit=args.load_in_8bit,
        extractor=None if args.extractor is None else dict(type=EXTRACTORS[args.extractor]),
        min_score=args.min_score,
        min_attention=args.min_attention,
        min_presence=args.min_presence,
        ask_presence=args.ask_presence,
        instances=args.instances,
    )
    if args.lmm is not None:
        if args.config is not None or args.checkpoint not in (SHIPPED, NONE):
            raise UserError('--lmm needs no --config and no --checkpoint: nothing of it is trained')
        parts = dict(lmm=args.lmm, sam=args.sam, heads=args.heads, pictures=args.pictures)
        return FLMMInferencer(device=args.device, **parts, **options)
    if args.sam or args.heads or args.pictures:
        raise UserError('--sam, --heads and --pictures go with --lmm: a config or a checkpoint names its own')
    if args.config is not None:
        config = load_config(args.config)
        check_parts(config, 'model')
        checkpoint = None if args.checkpoint == SHIPPED else args.checkpoint
        if checkpoint is None and is_trained(config.model):
            raise UserError('--config needs --checkpoint: a checkpoint of tools/train.py')
        return FLMMInferencer(config, checkpoint, args.device, **options)
    if Path(args.checkpoint).is_file():
        raise UserError(f'--checkpoint {args.checkpoint} is a file and needs --config: the config it was trained by')
    return FLMMInferencer.from_pretrained(args.checkpoint, args.device, **options)
