"""Rank the attention heads of an LMM by how well their maps show where phrases are, and keep the best.

    python tools/select_heads.py CONFIG --num 64 --out heads.json                           # by their IoU with masks
    python tools/select_heads.py CONFIG --criterion contrast --num 8 --out heads.json       # without masks
    python tools/select_heads.py CONFIG --images my_pictures/ --num 8 --out heads.json      # on pictures it captions
    python tools/select_heads.py --lmm LMM --images my_pictures/ --num 8 --out heads.json

Beside the file a picture of what the best heads look at. Train with them by `--cfg-options model.lmm.heads=heads.json`,
and test with the same; tools/chat.py has `--heads`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import init_default_scope
from PIL import Image
from tqdm import tqdm

from flmm_plugin.annotation.names import read_phrases
from flmm_plugin.apis.grounding import Grounder
from flmm_plugin.apis.head_choice import EXAMPLES, rank_by_pictures
from flmm_plugin.apis.phrases import default_extractor
from flmm_plugin.apis.untrained import untrained_config
from flmm_plugin.datasets.base import PROMPT
from flmm_plugin.datasets.sources import find_pictures
from flmm_plugin.engine.config import check_data_folders, load_config
from flmm_plugin.engine.options import OptionsAction
from flmm_plugin.errors import UserError, readable_errors
from flmm_plugin.evaluation.head_ranking import rank_heads, spread
from flmm_plugin.evaluation.localization import CRITERIA, PhraseMaps, maps_of_phrases, rank_without_masks
from flmm_plugin.models.capture.heads import write_heads
from flmm_plugin.registry import DATASETS, MODELS, TASK_UTILS
from flmm_plugin.visualization.heads import draw_heads

SHOWN_HEADS = 6


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', nargs='?', help='its LMM is ranked, on its training data unless --images are given')
    parser.add_argument('--lmm', help='name or folder of an LMM, in place of a config')
    parser.add_argument('--images', help='pictures to rank by: a folder, a glob, a list (.txt), a COCO .json, a .tar')
    parser.add_argument('--phrases-file', help='their phrases: one a line, or JSON {picture: [phrases]}; else captions')
    parser.add_argument('--question', help="what the LMM's captions answer")
    parser.add_argument('--num', type=int, default=64, help='how many heads to keep (default: 64)')
    parser.add_argument('--samples', type=int, default=50, help='samples or pictures to rank by (default: 50)')
    parser.add_argument(
        '--criterion',
        choices=['masks', *CRITERIA],
        help='masks: IoU with the truth (default); without masks: localization (spatial entropy), contrast (between '
        'phrases; default with --images)',
    )
    parser.add_argument('--out', type=Path, required=True, help='JSON file to write; the picture is beside it')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--cfg-options', nargs='+', action=OptionsAction, help='as in tools/train.py')
    args = parser.parse_args()
    if (args.config is None) == (args.lmm is None) or (args.lmm is not None and args.images is None):
        parser.error('give a config, or --lmm and --images')
    args.criterion = args.criterion or ('masks' if args.images is None else 'contrast')
    if args.images is not None and args.criterion == 'masks':
        parser.error(f'pictures have no masks: --criterion {" or ".join(CRITERIA)}')
    if args.images is None and (args.phrases_file or args.question):
        parser.error('--phrases-file and --question are about --images')
    if args.out.suffix == '.png' or args.out.is_dir():
        parser.error(f'--out {args.out}: a JSON file is written, and a picture (.png) beside it')
    return args


def select(args: argparse.Namespace) -> None:
    config = untrained_config(args.lmm, 'none') if args.config is None else load_config(args.config, args.cfg_options)
    if args.images is None:
        check_data_folders(config, 'train_dataloader')
    init_default_scope(config.get('default_scope', 'flmm_plugin'))
    # Heads are judged by the LMM's maps alone.
    parts = dict(config.model, lmm={**config.model.lmm, 'heads': None}, refiner=None)
    model = MODELS.build({part: value for part, value in parts.items() if not part.startswith('loss_')})
    model = model.eval().to(args.device)
    total = len(model.lmm.attention_layers) * model.lmm.num_heads
    if not 1 <= args.num <= total or args.samples < 1:
        raise UserError(f'--num must be from 1 to {total}, the heads of this LMM, and --samples at least 1')
    rank = rank_on_data if args.images is None else rank_on_pictures
    ranked, examples = rank(args, config, model)
    name = 'iou' if args.criterion == 'masks' else 'scores'
    heads, scores = ranked['heads'], ranked['scores']
    content = dict(
        lmm=model.lmm.name,
        fingerprint=model.lmm.fingerprint(),
        samples=ranked['samples'],
        heads=heads[: args.num],
        criterion=args.criterion,
    )
    write_heads(args.out, {**content, name: [round(value, 4) for value in scores[: args.num]]})
    picture = show(args.out, model.lmm, heads[: min(args.num, SHOWN_HEADS)], list(examples))
    print(
        f'{args.out}: {args.num} of {total} heads; {"IoU" if name == "iou" else "score"} of the best {scores[0]:.3f}, '
        f'of the last kept {scores[args.num - 1]:.3f}, of the worst {scores[-1]:.3f}; {picture}'
    )


def rank_on_data(args: argparse.Namespace, config: Any, model: Any) -> tuple[dict[str, Any], Iterable[PhraseMaps]]:
    """Heads by the config's training data, and some of it with their maps."""
    dataset = DATASETS.build(config.train_dataloader.dataset)
    indices = spread(args.samples, len(dataset))
    if args.criterion == 'masks':
        heads, scores = rank_heads(model, dataset, args.samples)
    else:
        shown = tqdm(indices, unit='picture', disable=not sys.stderr.isatty())
        samples = maps_of_phrases(model, dataset, shown)
        heads, scores = rank_without_masks((one.maps for one in samples), args.criterion, model.lmm.num_grids)
    examples = maps_of_phrases(model, dataset, indices[:EXAMPLES])
    return dict(samples=args.samples, heads=heads, scores=scores), examples


def rank_on_pictures(args: argparse.Namespace, config: Any, model: Any) -> tuple[dict[str, Any], Iterable[PhraseMaps]]:
    """Heads by pictures, and some of them with their maps."""
    sources = find_pictures(args.images)
    sources = [sources[index] for index in spread(args.samples, len(sources))]
    phrases = {} if args.phrases_file is None else read_phrases(args.phrases_file, sources)
    pictures = [(source.open, phrases.get(source.name)) for source in sources]
    grounder = Grounder(model, TASK_UTILS.build(default_extractor()))
    question = args.question or config.get('png_prompt', PROMPT)
    return rank_by_pictures(grounder, pictures, question, args.criterion)


def show(out: Path, lmm: Any, heads: Sequence[int], examples: Sequence[PhraseMaps]) -> Path:
    """Write the picture of what heads look at; of several grids the finest."""
    drawn = draw_heads(
        [
            (
                one.image.permute(1, 2, 0).numpy(),
                one.phrases,
                one.maps.unflatten(1, (lmm.num_grids, -1))[:, -1, list(heads)].numpy(),
            )
            for one in examples
        ],
        [f'layer {lmm.attention_layers[head // lmm.num_heads]}, head {head % lmm.num_heads}' for head in heads],
    )
    picture = out.with_suffix('.png')
    Image.fromarray(drawn).save(picture)
    return picture


def main() -> None:
    args = parse_args()
    with readable_errors():
        select(args)


if __name__ == '__main__':
    main()
