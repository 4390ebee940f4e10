"""Analyse what `tools/test.py --out RESULTS.jsonl` wrote: confidence intervals, two runs compared, plots, worst cases.

    python tools/analyze_results.py RUN.jsonl [OTHER.jsonl] --out-dir DIR

Images are drawn with replacement (bootstrap); with two runs, the same ones for both, and differences are OTHER - RUN.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flmm_plugin.errors import readable_errors
from flmm_plugin.evaluation.bootstrap import FIGURES, aligned, differences, estimates, split_by_group
from flmm_plugin.evaluation.phrase_records import read_records
from flmm_plugin.plain_json import to_json
from flmm_plugin.visualization.result_plots import draw_worst, plot_by_length, plot_by_size


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('results', help='JSON lines of one run')
    parser.add_argument('other', nargs='?', help='JSON lines of a second run on the same phrases')
    parser.add_argument('--out-dir', type=Path, default=Path('work_dirs/analysis'))
    parser.add_argument('--worst', type=int, default=12, help='how many worst cases to draw, of the last run given')
    parser.add_argument('--resamples', type=int, default=2000)
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args()


def interval(found: dict[str, Any]) -> str:
    text = f'{found["value"]:.4f} [{found["low"]:.4f}, {found["high"]:.4f}]'
    return text + (f' p = {found["p_value"]:.3g}' if 'p_value' in found else '')


def main() -> None:
    args = parse_args()
    with readable_errors():
        paths = [args.results] if args.other is None else [args.results, args.other]
        runs = dict(zip(paths, (read_records(path) for path in paths), strict=True))
        if args.other is not None:
            runs = dict(zip(paths, aligned(*runs.values()), strict=True))
        groups = [split_by_group(records) for records in runs.values()]
        table: dict[str, dict[str, Any]] = {}
        for name, records in groups[0].items():
            row: dict[str, Any] = {'phrases': len(records)}
            row[paths[0]] = estimates(records, args.resamples, args.seed)
            if args.other is not None:
                row[args.other] = estimates(groups[1][name], args.resamples, args.seed)
                row['difference'] = differences(records, groups[1][name], args.resamples, args.seed)
            table[name] = {
                key: value if key == 'phrases' else {figure: asdict(value[figure]) for figure in FIGURES}
                for key, value in row.items()
            }
        args.out_dir.mkdir(parents=True, exist_ok=True)
        for name, row in table.items():
            print(f'{name}: {row["phrases"]} phrases')
            for run in [key for key in row if key != 'phrases']:
                print(f'  {run}: ' + ', '.join(f'{figure} {interval(row[run][figure])}' for figure in FIGURES))
        (args.out_dir / 'analysis.json').write_text(to_json(table, indent=2) + '\n')
        plot_by_size(runs, args.out_dir / 'iou_by_size.png')
        plot_by_length(runs, args.out_dir / 'iou_by_length.png')
        draw_worst(runs[paths[-1]], args.worst, args.out_dir / 'worst.png')
        print(f'{args.out_dir}: analysis.json, iou_by_size.png, iou_by_length.png, worst.png')


if __name__ == '__main__':
    main()
