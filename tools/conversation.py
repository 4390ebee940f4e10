"""What pointing costs conversation: a frozen LMM with F-LMM's head against LMMs trained to point by a [SEG] token.

    python tools/conversation.py [--work-dir work_dirs/conversation] [--steps 300 1000] [--seeds 0 1 2] [--scenes 1000]

All models are trained by the tiny config: the same scenes, batches, steps, schedule and SAM; then all are asked the
same questions about held-out scenes. Finished runs are kept: start it again to go on. Runs of several seeds may go
side by side (--seeds 0; --seeds 1 2); once more with all seeds writes the tables of docs/tiny.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / 'configs/tiny/flmm_tiny_scenes.py'
SCENES_SEED, TALK_SEED = 78, 515  # neither is a seed that the tiny LMM or the tiny SAM was trained on
FROZEN, SEG, MIXED = 'ours, frozen', '[SEG]', '[SEG], conversations mixed in'
MODELS = {FROZEN: 'frozen', SEG: 'seg', MIXED: 'mixed'}
#: Of the whole LMM, and of the masks' losses: LISA's.
LR, MASK_WEIGHT, DICE_WEIGHT = 3e-4, 2.0, 0.5


def build_config(args: argparse.Namespace, model: str, steps: int, seed: int) -> Any:
    """The tiny config with ``steps`` of its schedule and, for [SEG], another model."""
    from flmm_plugin.engine.config import load_config

    warmup = max(steps // 25, 1)  # the config's share
    options = {
        'data_root': str(args.work_dir / 'scenes'),
        'model.lmm.pretrained': args.lmm,
        'model.refiner.feature_folder': str(args.work_dir / 'features'),
        'randomness.seed': seed,
        'log_level': 'WARNING',
        'train_cfg.max_iters': steps,
        'param_scheduler.0.end': warmup,
        'param_scheduler.1.begin': warmup,
        'param_scheduler.1.end': steps,
    }
    config = load_config(str(CONFIG), options, str(args.work_dir / 'runs' / f'{MODELS[model]}_{steps}_{seed}'))
    config.val_cfg = config.val_dataloader = config.val_evaluator = None
    config.test_evaluator = [dict(type='PNGMetric'), dict(type='RESMetric')]
    config.test_dataloader.num_workers, config.test_dataloader.persistent_workers = 0, False
    config.default_hooks.checkpoint = None
    config.custom_hooks = [dict(type='SeedHook'), dict(type='FrozenCheckHook')]
    if model == FROZEN:
        config.model.lmm.map_folder = str(args.work_dir / 'maps')
        return config
    parts = config.model
    config.model = dict(
        type='SegTokenLMM',
        lmm=parts.lmm.pretrained,
        refiner=parts.refiner,
        loss_mask=dict(parts.loss_mask, loss_weight=MASK_WEIGHT),
        loss_dice=dict(parts.loss_dice, loss_weight=DICE_WEIGHT),
        conversations=int(model == MIXED),
        seed=1000 + seed,
    )
    tuning = config.optim_wrapper.paramwise_cfg
    tuning.custom_keys['lmm'] = dict(lr_mult=args.lr / config.optim_wrapper.optimizer.lr)
    tuning.bypass_duplicate = True  # its output layer is its embedding
    return config


def run(
    args: argparse.Namespace, weights: str, said: dict[str, float], model: str, steps: int, seed: int
) -> dict[str, float]:
    """Train a model, test its masks, and ask it. ``weights``: sha256 of the bare LMM's, ``said``: what it says."""
    from mmengine.runner import Runner

    import flmm_plugin.tiny.seg_token  # noqa: F401 - registers the model
    from flmm_plugin.models.weights.frozen import weights_hash

    runner = Runner.from_cfg(build_config(args, model, steps, seed))
    runner.train()
    masks = runner.test()
    found = {
        'expressions': masks['res/concat/first_sentence/mIoU'],
        'expressions_cIoU': masks['res/concat/first_sentence/cIoU'],
        'things': masks['png/narrative/mIoU_thing'],
        'stuff': masks['png/narrative/mIoU_stuff'],
    }
    trained: Any = runner.model
    if model != FROZEN:
        return {**found, **ask(trained.lmm.eval(), trained.processor, args.asked)}
    if weights_hash(trained.lmm.model) != weights:
        raise RuntimeError('training changed the LMM that is to stay frozen')
    return {**found, **said}  # the same weights say the same


def ask(lmm: Any, processor: Any, scenes: int) -> dict[str, float]:
    """What an LMM says of held-out scenes: captions, answers, and whether things are there."""
    from flmm_plugin.tiny.accuracy import measure_accuracy, measure_existence
    from flmm_plugin.tiny.families import FAMILIES

    family = FAMILIES[lmm.config.model_type]
    said = measure_accuracy(family, lmm, processor, TALK_SEED, scenes)
    there = measure_existence(family, lmm, processor, TALK_SEED, scenes)
    kinds = {kind: value for kind, value in said['answers'].items() if kind != 'caption' and ': ' not in kind}
    return {
        **{f'{part}/{name}': value for part, named in said.items() for name, value in named.items()},
        'questions': mean(kinds.values()),
        'pope': there['pope/mean/authors/accuracy'],
        'yes_ratio': there['pope/mean/authors/yes_ratio'],
        **there,
    }


def kept(path: Path, make: Callable[[], dict[str, float]]) -> dict[str, float]:
    """What ``path`` holds; made and written first where it is missing."""
    if not path.exists():
        begin = time.time()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(make(), indent=1))
        print(f'{path.stem}: {(time.time() - begin) / 60:.1f} min', flush=True)
    return json.loads(path.read_text())


def main() -> None:
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    from flmm_plugin.assets import resolve
    from flmm_plugin.datasets.scenes import write_scenes
    from flmm_plugin.models.weights.frozen import weights_hash
    from flmm_plugin.tiny.controls import TINY_LMM
    from flmm_plugin.tiny.conversation_report import plot_tradeoff, write_tables

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/conversation'))
    parser.add_argument('--lmm', default=TINY_LMM, help='folder of a tiny LMM')
    parser.add_argument('--steps', type=int, nargs='+', default=[300, 1000], help='of each run, one after the other')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--scenes', type=int, default=1000, help='a tenth of them to test on')
    parser.add_argument('--asked', type=int, default=200, help='other scenes that the LMMs are asked about')
    parser.add_argument('--lr', type=float, default=LR, help='learning rate of an LMM that is not frozen')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--docs', type=Path, default=ROOT / 'docs', help='whose page tiny.md gets the tables')
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.work_dir, args.lmm = args.work_dir.resolve(), resolve(args.lmm)
    if not (args.work_dir / 'scenes').exists():
        write_scenes(args.work_dir / 'scenes', args.scenes, SCENES_SEED, fractions=(0.9, 0.1, 0), workers=args.threads)
    bare = AutoModelForImageTextToText.from_pretrained(args.lmm).eval()
    weights = weights_hash(bare)
    folder = args.work_dir / 'results' / weights[:12]  # another LMM's results are no use
    said = kept(folder / 'bare.json', lambda: ask(bare, AutoProcessor.from_pretrained(args.lmm), args.asked))
    results = {('bare LMM', 0): {name: [value] for name, value in said.items()}}
    for steps, (model, short) in itertools.product(args.steps, MODELS.items()):
        name = f'{short}_{steps}' if model == FROZEN else f'{short}_{args.lr:g}_{steps}'
        runs = [
            kept(folder / f'{name}_{seed}.json', partial(run, args, weights, said, model, steps, seed))
            for seed in args.seeds
        ]
        results[model, steps] = {figure: [found[figure] for found in runs] for figure in runs[0]}
    write_tables(results, args.docs / 'tiny.md')
    plot_tradeoff(results, args.docs / 'images/conversation.png')
    print(f'{args.docs}/tiny.md and images/conversation.png are up to date')


if __name__ == '__main__':
    main()
