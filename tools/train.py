"""Train a grounding model; the arguments are MMDetection's."""

from __future__ import annotations

import argparse

from mmengine.config import Config
from mmengine.runner import Runner

from flmm_plugin.engine.config import (
    check_data_folders,
    check_parts,
    existing_checkpoint,
    load_config,
    newest_checkpoint,
    set_local_rank,
)
from flmm_plugin.engine.impossible import check_possible
from flmm_plugin.engine.options import OptionsAction
from flmm_plugin.engine.processes import join_cpu_processes
from flmm_plugin.errors import UserError, readable_errors
from flmm_plugin.models.weights.untrained import check_trained_model


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Train a grounding model')
    parser.add_argument('config', help='train config file path')
    parser.add_argument('--work-dir', help='the dir to save logs and models')
    parser.add_argument('--amp', action='store_true', help='enable automatic mixed precision training')
    parser.add_argument('--auto-scale-lr', action='store_true', help='scale the learning rate with the batch size')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='resume from this checkpoint; without a path, from the newest in the work dir',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionsAction,
        help='override settings of the config, key=value ...; data_root=FOLDER moves all data sets',
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='job launcher')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args()
    set_local_rank(args)
    return args


def apply_arguments(config: Config, args: argparse.Namespace) -> None:
    """Write what the arguments ask for into the config."""
    config.launcher = args.launcher
    if args.amp:
        config.optim_wrapper.type = 'AmpOptimWrapper'
        config.optim_wrapper.loss_scale = 'dynamic'
    if args.auto_scale_lr:
        if 'base_batch_size' not in config.get('auto_scale_lr', {}):
            raise UserError('--auto-scale-lr needs auto_scale_lr=dict(enable=False, base_batch_size=N) in the config.')
        config.auto_scale_lr.enable = True
    if args.resume is not None:
        checkpoint = newest_checkpoint(config.work_dir) if args.resume == 'auto' else existing_checkpoint(args.resume)
        config.resume = checkpoint is not None  # there is none yet when a job is started for the first time
        config.load_from = checkpoint or config.get('load_from')


def main() -> None:
    args = parse_args()
    with readable_errors():
        config = load_config(args.config, args.cfg_options, args.work_dir)
        check_parts(config, 'model', 'train_dataloader', 'train_cfg', 'optim_wrapper')
        check_trained_model(config.model)
        apply_arguments(config, args)
        check_possible(config)
        check_data_folders(config, 'train_dataloader', 'val_dataloader')
        join_cpu_processes(config)
        Runner.from_cfg(config).train()


if __name__ == '__main__':
    main()
