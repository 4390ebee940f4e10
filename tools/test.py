"""Test a grounding model; the arguments are MMDetection's. The metrics go to metrics.json in the work dir."""

from __future__ import annotations

import argparse

from mmdet.engine.hooks.utils import trigger_visualization_hook
from mmengine.runner import Runner

from flmm_plugin.engine.config import check_data_folders, check_parts, existing_checkpoint, load_config, set_local_rank
from flmm_plugin.engine.options import OptionsAction
from flmm_plugin.engine.processes import join_cpu_processes
from flmm_plugin.errors import UserError, readable_errors
from flmm_plugin.evaluation import DumpGroundingResults, PhraseRecords
from flmm_plugin.models.weights.untrained import describe, needs_checkpoint


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Test (and evaluate) a grounding model')
    parser.add_argument('config', help='test config file path')
    parser.add_argument('checkpoint', help="checkpoint file; 'none' for a model with nothing to train")
    parser.add_argument('--work-dir', help='the directory to save the file containing evaluation metrics')
    parser.add_argument('--out', help='FILE.pkl: predictions for later evaluation; FILE.jsonl: a line for each phrase')
    parser.add_argument('--show', action='store_true', help='show prediction results')
    parser.add_argument(
        '--show-dir',
        help='directory where sheets of pictures will be saved, in WORK_DIR/TIMESTAMP/ unless it is absolute',
    )
    parser.add_argument('--wait-time', type=float, default=2, help='the interval of show (s)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionsAction,
        help='override settings of the config, key=value ...; data_root=FOLDER moves all data sets',
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='job launcher')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args()
    if args.out is not None and not args.out.endswith(('.pkl', '.pickle', '.jsonl')):
        parser.error('--out: the name must end with .pkl, .pickle or .jsonl')
    set_local_rank(args)
    return args


def main() -> None:
    args = parse_args()
    with readable_errors():
        config = load_config(args.config, args.cfg_options, args.work_dir)
        check_parts(config, 'model', 'test_dataloader', 'test_cfg', 'test_evaluator')
        config.launcher = args.launcher
        join_cpu_processes(config)
        trained = needs_checkpoint(config.model, args.checkpoint)
        config.load_from = existing_checkpoint(args.checkpoint) if trained else None
        check_data_folders(config, 'test_dataloader')
        if args.show or args.show_dir:
            if 'visualization' not in config.get('default_hooks', {}):
                raise UserError("--show needs visualization=dict(type='GroundingVisualizationHook') in default_hooks.")
            config = trigger_visualization_hook(config, args)
        runner = Runner.from_cfg(config)
        if not trained:
            runner.logger.info(describe(runner.model))
        if args.out is not None:
            writer = PhraseRecords if args.out.endswith('.jsonl') else DumpGroundingResults
            runner.test_evaluator.metrics.append(writer(out_file_path=args.out))
        runner.test()


if __name__ == '__main__':
    main()
