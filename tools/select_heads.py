"""Rank the attention heads of a config's LMM by how well their maps show where phrases are, and keep the best.

    python tools/select_heads.py CONFIG --num 64 --out heads.json                           # by their IoU with masks
    python tools/select_heads.py CONFIG --criterion contrast --num 8 --out heads.json       # without masks

Train with them by `--cfg-options model.lmm.heads=heads.json`, and test with the same.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from mmengine.registry import init_default_scope

from flmm_plugin.engine.config import check_data_folders, load_config
from flmm_plugin.engine.options import OptionsAction
from flmm_plugin.errors import UserError, readable_errors
from flmm_plugin.evaluation.head_ranking import rank_heads, spread
from flmm_plugin.evaluation.localization import CRITERIA, maps_of_phrases, rank_without_masks
from flmm_plugin.models.capture.heads import write_heads
from flmm_plugin.registry import DATASETS, MODELS


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='its LMM is ranked on its training data')
    parser.add_argument('--num', type=int, default=64, help='how many heads to keep (default: 64)')
    parser.add_argument('--samples', type=int, default=50, help='training samples to rank by (default: 50)')
    parser.add_argument(
        '--criterion',
        choices=['masks', *CRITERIA],
        default='masks',
        help='masks: IoU with the truth; without masks: localization (spatial entropy), contrast (between phrases)',
    )
    parser.add_argument('--out', type=Path, required=True, help='JSON file to write')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--cfg-options', nargs='+', action=OptionsAction, help='as in tools/train.py')
    return parser.parse_args()


def select(args: argparse.Namespace) -> None:
    config = load_config(args.config, args.cfg_options)
    check_data_folders(config, 'train_dataloader')
    init_default_scope(config.get('default_scope', 'flmm_plugin'))
    lmm = {**config.model.lmm, 'heads': None}
    model = MODELS.build({**config.model, 'lmm': lmm, 'refiner': None}).eval().to(args.device)
    total = model.lmm.num_layers * model.lmm.num_heads
    if not 1 <= args.num <= total or args.samples < 1:
        raise UserError(f'--num must be from 1 to {total}, the heads of this LMM, and --samples at least 1')
    dataset = DATASETS.build(config.train_dataloader.dataset)
    if args.criterion == 'masks':
        heads, scores = rank_heads(model, dataset, args.samples)
    else:
        samples = maps_of_phrases(model, dataset, spread(args.samples, len(dataset)))
        heads, scores = rank_without_masks((one.maps for one in samples), args.criterion, model.lmm.num_grids)
    name = 'iou' if args.criterion == 'masks' else 'scores'
    write_heads(
        args.out,
        dict(
            lmm=model.lmm.name,
            fingerprint=model.lmm.fingerprint(),
            samples=args.samples,
            heads=heads[: args.num],
            criterion=args.criterion,
            **{name: [round(value, 4) for value in scores[: args.num]]},
        ),
    )
    print(
        f'{args.out}: {args.num} of {total} heads; {"IoU" if name == "iou" else "score"} of the best {scores[0]:.3f}, '
        f'of the last kept {scores[args.num - 1]:.3f}, of the worst {scores[-1]:.3f}'
    )


def main() -> None:
    args = parse_args()
    with readable_errors():
        select(args)


if __name__ == '__main__':
    main()
