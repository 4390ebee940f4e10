"""Arguments that the tools which talk have in common."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from flmm_plugin.apis.grounding import MIN_ATTENTION, MIN_SCORE
from flmm_plugin.apis.inferencer import FLMMInferencer
from flmm_plugin.engine.config import load_config

EXTRACTORS = {'spacy': 'SpacyPhrases', 'rules': 'RulePhrases', 'lmm': 'MarkedPhrases'}


def add_model_arguments(parser: ArgumentParser) -> None:
    """Arguments that say which model is loaded and how its phrases are found."""
    parser.add_argument('--config', required=True, help='config file of the model')
    parser.add_argument('--checkpoint', required=True, help='checkpoint of the mask head, from tools/train.py')
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
    parser.add_argument('--max-new-tokens', type=int, default=128, help='longest answer')


def load_inferencer(args: Namespace, **options: Any) -> FLMMInferencer:
    """The model that :func:`add_model_arguments` described."""
    return FLMMInferencer(
        load_config(args.config),
        args.checkpoint,
        args.device,
        dtype=args.dtype,
        load_in_4bit=args.load_in_4bit,
        load_in_8bit=args.load_in_8bit,
        extractor=None if args.extractor is None else dict(type=EXTRACTORS[args.extractor]),
        min_score=args.min_score,
        min_attention=args.min_attention,
        **options,
    )
