"""Measure all that a GPU shows of grounding on models of 7 billion random weights, in at most 12 minutes.

It needs torch, torchvision, transformers, mmengine, segment-anything and this checkout, no mmcv, mmdet or network.
Parts: the tests of the models, those of conformance on the GPU; the forward pass; SAM's decoder and shared images;
training; answers. Each ends in its time, and what it has by then is written: to --out as JSON and, beside it, to tables
in Markdown. What a part leaves of its time, those after it have.
"""

import argparse
from pathlib import Path

import torch

from flmm_plugin.benchmark.extract import circumstances
from flmm_plugin.benchmark.report.parts import PARTS
from flmm_plugin.benchmark.report.running import run_parts
from flmm_plugin.benchmark.report.settings import settings_for
from flmm_plugin.benchmark.report.tables import read_report, tables
from flmm_plugin.errors import UserError, readable_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=Path('gpu_report.json'), help='default: %(default)s')
    parser.add_argument('--parts', nargs='+', choices=PARTS, default=list(PARTS), help='default: all')
    parser.add_argument('--minutes', type=float, help='that all of it may take (default: 11.8 for all parts)')
    parser.add_argument('--device', default='cuda')
    parser.add_argument('--dry-run', action='store_true', help='every part on tiny models, on the CPU')
    parser.add_argument('--from-json', type=Path, metavar='FILE', help='write the tables of a report alone')
    args = parser.parse_args()
    if args.minutes is not None and not args.minutes > 0:
        parser.error(f'--minutes must be more than 0, got {args.minutes:g}')
    return args


def main() -> None:
    args = parse_args()
    with readable_errors():
        if args.from_json is not None:
            print(tables(read_report(args.from_json)), end='')
            return
        if not args.dry_run and not torch.cuda.is_available():
            raise UserError('there is no GPU; --dry-run goes through every part on the CPU')
        settings = settings_for(args.device, args.dry_run)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        report = dict(dry=args.dry_run, **circumstances(settings.device))
        shares = {name: settings.seconds[name] for name in args.parts}
        seconds = sum(shares.values()) if args.minutes is None else 60 * args.minutes
        run_parts({name: PARTS[name] for name in args.parts}, settings, shares, seconds, report, args.out)
        args.out.with_suffix('.md').write_text(tables(report))
        print(tables(report), end='')


if __name__ == '__main__':
    main()
