"""Measure what grounding costs, on an LMM with random weights or on the model of a config.

`extract`: the LMM's forward pass bare (SDPA), with the attention of phrases captured (ours), and with eager attention
returned whole (`output_attentions=True`, as the authors' code does); the three take turns. Ratios are ours to the
other (time_vs_bare, peak_memory_vs_bare, kept_bytes_vs_eager); speedup_vs_eager is eager's time to ours. Peak memory is
that of the whole process on the CPU, weights and libraries included, and CUDA's count of tensors on a GPU. `--plot`
draws time and peak memory against the tokens.

`train`: a training step on a batch of 8 images, against 8 single steps the authors' way (eager attention returned
whole, segment-anything's own SAM, its decoder called phrase by phrase) with the same losses; and where the time of our
step goes. Weights are not updated. `--steps` trains on, with updates, and says whether memory grows.

`test`: independent expressions of an image, which share one pass of the LMM over it, against a pass for each; and SAM's
decoder on all masks at once, against one by one.

`epoch`: an epoch of training on a config's own training set with the maps and image features of the frozen parts on
disk, in half precision and as they are, against the same epoch without, from the same weights.

`chat`: generating an answer of 64 tokens, what grounding its phrases adds, and what it takes to tell whether they are
there.

`untrained`: the forward pass with the maps of 8 heads alone against the bare one, and what grounding an answer of 64
tokens without a U-Net adds to it, SAM apart.

`annotate`: answers of 64 tokens to 8 pictures and their masks, together against one by one, and where the time goes.

The presets of 7 billion weights have the dimensions of LLaVA-1.5's Vicuna and of LLaVA-NeXT's Mistral, with SAM ViT-L
and the paper's U-Net. They need a GPU, on which their weights are made. `--config` takes the LMM of a config with its
own weights, mask head and refiner; the mask head is untrained, which costs the same.
"""

import argparse
from typing import Any

import torch

from flmm_plugin.benchmark.annotating import PICTURES, measure_annotating
from flmm_plugin.benchmark.annotating import table as annotating_table
from flmm_plugin.benchmark.chatting import measure_chat
from flmm_plugin.benchmark.chatting import table as chat_table
from flmm_plugin.benchmark.epochs import measure_epoch
from flmm_plugin.benchmark.epochs import table as epoch_table
from flmm_plugin.benchmark.extract import extract
from flmm_plugin.benchmark.extract import table as extract_table
from flmm_plugin.benchmark.inputs import TEXT_TOKENS
from flmm_plugin.benchmark.plots import drawable, plot_costs
from flmm_plugin.benchmark.presets import PRESETS, TOKENS
from flmm_plugin.benchmark.subject import ConfigSubject, PresetSubject, Subject
from flmm_plugin.benchmark.testing import measure_testing
from flmm_plugin.benchmark.testing import table as testing_table
from flmm_plugin.benchmark.training import BATCH, measure_training
from flmm_plugin.benchmark.training import table as training_table
from flmm_plugin.benchmark.untrained import measure_untrained
from flmm_plugin.benchmark.untrained import table as untrained_table
from flmm_plugin.engine.options import OptionsAction
from flmm_plugin.errors import readable_errors
from flmm_plugin.plain_json import to_json

WAYS = {
    'extract': (extract, extract_table),
    'train': (measure_training, training_table),
    'test': (measure_testing, testing_table),
    'chat': (measure_chat, chat_table),
    'untrained': (measure_untrained, untrained_table),
    'annotate': (measure_annotating, annotating_table),
}
BATCHES = {'extract': 1, 'train': BATCH, 'annotate': PICTURES}
ABOUT = {
    'extract': 'the forward pass of the LMM',
    'train': 'a training step',
    'test': 'expressions and masks of an image',
    'chat': 'an answer and its phrases',
    'untrained': 'maps of a few heads, masks without a U-Net',
    'annotate': 'answers and masks of several pictures',
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_subparsers(dest='what', required=True)
    for name, about in ABOUT.items():
        one = what.add_parser(name, help=about)
        subject = one.add_mutually_exclusive_group()
        subject.add_argument('--preset', choices=PRESETS, default='mid', help='size of the LMM (default: mid)')
        subject.add_argument('--config', help='config file whose model is measured')
        lengths = f'{" ".join(map(str, TOKENS))}; for a config, what its image takes and {TEXT_TOKENS}'
        one.add_argument('--tokens', type=int, nargs='+', help=f'lengths, image included (default: {lengths})')
        one.add_argument('--phrases', type=int, default=6)
        one.add_argument('--layers', type=at_least_one, help="of a preset's language model (default: the preset's own)")
        one.add_argument('--repeats', type=at_least_one, default=5, help='times are medians of so many rounds')
        one.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
        one.add_argument('--dtype', choices=['float32', 'bfloat16', 'float16'], help='of the LMM (default: its own)')
        one.add_argument('--json', action='store_true', help='print one JSON object')
        if name in BATCHES:
            one.add_argument('--batch', type=at_least_one, default=BATCHES[name], help='default: %(default)s')
        if name == 'extract':
            one.add_argument('--plot', type=drawable, metavar='FILE.png', help='draw time and memory against tokens')
        if name == 'train':
            one.add_argument('--steps', type=int, default=0, help='further steps over which memory is watched')
            one.add_argument('--amp', action='store_true', help='both ways in mixed precision (bfloat16)')
    epoch = what.add_parser('epoch', help="an epoch with the frozen parts' results on disk")
    epoch.add_argument('--config', required=True, help='config file whose model is trained on its training set')
    epoch.add_argument('--cfg-options', nargs='+', action=OptionsAction, help='as of tools/train.py')
    epoch.add_argument('--checkpoint', help='where training starts (default: an untrained mask head)')
    epoch.add_argument('--samples', type=int, default=80, help='of the training set, spread over it')
    epoch.add_argument('--repeats', type=at_least_one, default=3, help='times are medians of so many rounds')
    epoch.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    epoch.add_argument('--json', action='store_true', help='print one JSON object')
    args = parser.parse_args()
    if args.what != 'epoch' and args.config is not None and args.layers is not None:
        parser.error('--layers is of presets: the LMM of a config has the layers of its weights')
    return args


def at_least_one(number: str) -> int:
    if not number.isdecimal() or int(number) < 1:
        raise argparse.ArgumentTypeError(f'{number} is not a whole number from 1 on')
    return int(number)


def measure_subject(args: argparse.Namespace) -> dict[str, Any]:
    subject: Subject = PresetSubject(args.preset, args.layers, device=args.device, dtype=args.dtype)
    if args.config is not None:
        subject = ConfigSubject(args.config, device=args.device, dtype=args.dtype)
    options = {name: getattr(args, name) for name in ('batch', 'steps', 'amp') if name in args}
    return WAYS[args.what][0](subject, args.tokens, args.phrases, args.repeats, **options)


def main() -> None:
    args = parse_args()
    with readable_errors():
        if args.what == 'epoch':
            settings = args.samples, args.repeats, args.device, args.checkpoint
            result = measure_epoch(args.config, args.cfg_options, *settings)
        else:
            result = measure_subject(args)
    table = epoch_table if args.what == 'epoch' else WAYS[args.what][1]
    print(to_json(result) if args.json else table(result))
    if args.what == 'extract' and args.plot is not None:
        plot_costs(result, args.plot)


if __name__ == '__main__':
    main()
