"""What each part of the method adds, and what the LMM's knowledge adds: 3 LMMs x 8 stages x 3 seeds on held-out scenes.

    python tools/ablation.py [--work-dir work_dirs/ablation] [--iters 160] [--seeds 0 1 2]
    python tools/ablation.py --lmm work_dirs/tiny_qwen --work-dir work_dirs/ablation_qwen     # table in its work dir

Raw attention comes first, then heads chosen without masks, alone and with the tiny SAM as it ships, nothing trained.
Each trained stage is a run of the tiny config with some of its parts. Finished runs are kept: start it again to go on.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / 'configs/tiny/flmm_tiny_scenes.py'
UNTRAINED_CONFIG = ROOT / 'configs/tiny/attention_tiny_scenes.py'
STAGES: dict[str, tuple[str, ...] | None] = {
    'U-Net': None,
    '+ SAM, mask prompt': ('mask',),
    '+ box': ('mask', 'box'),
    '+ text': ('mask', 'box', 'text'),
}
RAW = {'attention, mean of heads': True, 'attention, best head': False}
#: With SAM, or without.
UNTRAINED = {'attention, 8 heads chosen without masks': False, '+ SAM as it ships': True}
LMMS = ('trained', 'random language model', 'untrained')
RAW_SCENES = 50
NUM_HEADS = 8


def lmm_folder(work_dir: Path, trained: str, lmm: str, seed: int) -> str:
    """The tiny LMM ``trained``, or a control made of it."""
    from flmm_plugin.tiny import controls

    if lmm == 'trained':
        return trained
    folder = work_dir / f'{lmm.replace(" ", "_")}_{seed}'
    if not (folder / 'config.json').exists():
        (controls.save_untrained if lmm == 'untrained' else controls.save_random_language)(folder, seed, trained)
    return str(folder)


def build_config(work_dir: Path, trained: str, iters: int, lmm: str, seed: int, base: Path = CONFIG) -> Any:
    """A tiny config on narratives alone, with a shorter schedule."""
    from flmm_plugin.apis.untrained import adapter_of
    from flmm_plugin.engine.config import load_config

    options = {
        'data_root': str(work_dir / 'scenes'),
        'model.lmm.type': adapter_of(trained),
        'model.lmm.pretrained': lmm_folder(work_dir, trained, lmm, seed),
        'model.lmm.map_folder': str(work_dir / 'maps'),  # the same for all stages
        'model.refiner.feature_folder': str(work_dir / 'features'),
        'randomness.seed': seed,
        'log_level': 'WARNING',
        'train_cfg.max_iters': iters,
        'train_cfg.val_interval': 10 * iters,
        'param_scheduler.1.end': iters,
        'default_hooks.checkpoint.interval': 10 * iters,
    }
    config = load_config(str(base), options, str(work_dir / 'runs' / f'{lmm}_{seed}'.replace(' ', '_')))
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.dataset = loader.dataset.datasets[0]
        loader.num_workers, loader.persistent_workers = 0, False
    config.val_evaluator = config.test_evaluator = dict(type='PNGMetric')
    return config


def run_stage(work_dir: Path, trained: str, iters: int, job: tuple[str, str, int]) -> None:
    """Train and test one stage; its metrics are the job's file."""
    lmm, stage, seed = job
    target = work_dir / 'results' / f'{lmm}--{stage}--{seed}.json'
    if target.exists():
        return
    from mmengine.runner import Runner

    config = build_config(work_dir, trained, iters, lmm, seed)
    config.work_dir += f'_{len(STAGES[stage] or ())}'
    if STAGES[stage] is None:
        config.model.refiner = None
    else:
        config.model.refiner.prompts = STAGES[stage]
    runner = Runner.from_cfg(config)
    runner.train()
    metrics = runner.test()
    target.write_text(json.dumps({key.removeprefix('png/narrative/'): value for key, value in metrics.items()}))
    print(f'{lmm}, {stage}, seed {seed}: things {metrics["png/narrative/mIoU_thing"]:.3f}', flush=True)


def run_untrained(work_dir: Path, trained: str, iters: int, job: tuple[str, int]) -> None:
    """Choose heads on training scenes without their masks, and test them, nothing trained."""
    from mmengine.registry import init_default_scope
    from mmengine.runner import Runner

    from flmm_plugin.evaluation.localization import maps_of_phrases, rank_without_masks
    from flmm_plugin.registry import DATASETS, MODELS

    lmm, seed = job
    targets = {stage: work_dir / 'results' / f'{lmm}--{stage}--{seed}.json' for stage in UNTRAINED}
    if all(target.exists() for target in targets.values()):
        return
    config = build_config(work_dir, trained, iters, lmm, seed, UNTRAINED_CONFIG)
    init_default_scope(config.default_scope)
    config.model.lmm.heads = None
    model = MODELS.build(dict(config.model, refiner=None)).eval()
    dataset = DATASETS.build(config.train_dataloader.dataset)
    samples = maps_of_phrases(model, dataset, range(min(RAW_SCENES, len(dataset))))
    heads, _ = rank_without_masks((one.maps for one in samples), 'contrast', model.lmm.num_grids)
    for stage, target in targets.items():
        config = build_config(work_dir, trained, iters, lmm, seed, UNTRAINED_CONFIG)
        config.work_dir += f'_untrained_{UNTRAINED[stage]}'
        config.model.lmm.heads = heads[:NUM_HEADS]
        if not UNTRAINED[stage]:
            config.model.refiner = None
        metrics = Runner.from_cfg(config).test()
        target.write_text(json.dumps({key.removeprefix('png/narrative/'): value for key, value in metrics.items()}))
        print(f'{lmm}, {stage}, seed {seed}: things {metrics["png/narrative/mIoU_thing"]:.3f}', flush=True)


def run_raw(work_dir: Path, trained: str, iters: int, job: tuple[str, int]) -> None:
    """Score raw attention; head and threshold are chosen on training scenes."""
    import torch
    from mmengine.dataset import pseudo_collate
    from mmengine.registry import init_default_scope

    from flmm_plugin.evaluation.raw_attention import choose, score_raw_attention
    from flmm_plugin.registry import DATASETS, MODELS

    lmm, seed = job
    targets = {stage: work_dir / 'results' / f'{lmm}--{stage}--{seed}.json' for stage in RAW}
    if all(target.exists() for target in targets.values()):
        return
    config = build_config(work_dir, trained, iters, lmm, seed)
    init_default_scope(config.default_scope)
    model = MODELS.build(dict(config.model, refiner=None)).eval()

    def narratives(loader: Any) -> Any:
        dataset = DATASETS.build(loader.dataset)
        for index in range(min(RAW_SCENES, len(dataset))):
            batch = pseudo_collate([dataset[index]])
            with torch.no_grad():
                (found,) = model(**batch, mode='tensor')
            truth = batch['data_samples'][0].gt_instances
            yield found['attention_maps'], torch.as_tensor(truth.masks), truth.is_thing

    fitted, held_out = (
        score_raw_attention(narratives(part)) for part in (config.train_dataloader, config.val_dataloader)
    )
    for stage, target in targets.items():
        target.write_text(json.dumps(choose(fitted, held_out, mean=RAW[stage])))
        print(f'{lmm}, {stage}, seed {seed}: {target.read_text()}', flush=True)


def collect(work_dir: Path, seeds: list[int]) -> dict[str, dict[str, dict[str, list[float]]]]:
    """results[lmm][stage][metric] -> one number for each seed."""
    table: dict[str, dict[str, dict[str, list[float]]]] = {}
    for lmm, stage, seed in itertools.product(LMMS, [*RAW, *UNTRAINED, *STAGES], seeds):
        found = json.loads((work_dir / 'results' / f'{lmm}--{stage}--{seed}.json').read_text())
        for key in ('mIoU_thing', 'mIoU_stuff', 'AR_all'):
            if key in found:
                table.setdefault(lmm, {}).setdefault(stage, {}).setdefault(key, []).append(found[key])
    return table


def prepare_worker() -> None:
    import torch

    torch.set_num_threads(1)


def main() -> None:
    from flmm_plugin.datasets.scenes import write_scenes
    from flmm_plugin.tiny.ablation_report import plot_ablation, write_table
    from flmm_plugin.tiny.controls import TINY_LMM

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/ablation'))
    parser.add_argument('--lmm', default=TINY_LMM, help='folder of another tiny LMM than the one that ships')
    parser.add_argument('--iters', type=int, default=160)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--workers', type=int, default=os.cpu_count() or 1, help='runs at a time, one thread each')
    args = parser.parse_args()
    work_dir = args.work_dir.resolve()
    (work_dir / 'results').mkdir(parents=True, exist_ok=True)
    if not (work_dir / 'scenes').exists():
        write_scenes(work_dir / 'scenes', 1000, seed=77, fractions=(0.9, 0.1, 0), workers=args.workers)
    for lmm, seed in itertools.product(LMMS, args.seeds):
        lmm_folder(work_dir, args.lmm, lmm, seed)
    os.environ['OMP_NUM_THREADS'] = '1'
    spawn = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(args.workers, mp_context=spawn, initializer=prepare_worker) as pool:
        for run in (run_raw, run_untrained):
            jobs = itertools.product(LMMS, args.seeds)
            list(pool.map(partial(run, work_dir, args.lmm, args.iters), jobs))
        stages = itertools.product(LMMS, STAGES, args.seeds)
        list(pool.map(partial(run_stage, work_dir, args.lmm, args.iters), stages))
    results = collect(work_dir, args.seeds)
    docs = ROOT / 'docs' if args.lmm == TINY_LMM else work_dir
    if args.lmm != TINY_LMM:
        (docs / 'tiny.md').write_text('<!-- ablation: begin -->\n<!-- ablation: end -->\n')
    write_table(results, docs / 'tiny.md')
    plot_ablation(results, docs / 'images/ablation.png')
    print(f'{docs / "tiny.md"} and {docs / "images/ablation.png"} are up to date')


if __name__ == '__main__':
    main()
