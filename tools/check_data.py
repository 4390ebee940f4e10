"""Check the data sets of a config before a long run: files, ids, masks and sizes. Builds no model.

python tools/check_data.py CONFIG [--cfg-options data_root=FOLDER] [--split val] [--sheet sheet.png]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmengine.registry import init_default_scope

from flmm_plugin.datasets.check import Check, check_data_set, data_set_configs
from flmm_plugin.engine.config import load_config
from flmm_plugin.engine.options import OptionsAction
from flmm_plugin.errors import UserError, readable_errors

SPLITS = ('train', 'val', 'test')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file path; one of configs/_base_/datasets will do')
    parser.add_argument('--split', choices=SPLITS, help='the data sets of one dataloader only')
    parser.add_argument('--limit', type=int, help='decode so many samples of each data set, evenly spread')
    parser.add_argument('--workers', type=int, default=0, help='processes that decode')
    parser.add_argument('--sheet', type=Path, help='draw samples with their masks and phrases into this picture file')
    parser.add_argument('--sheet-samples', type=int, default=4, help='samples of each data set on the sheet')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionsAction,
        help='override settings of the config, key=value ...; data_root=FOLDER moves all data sets',
    )
    return parser.parse_args()


def report(check: Check) -> None:
    print(f'\n{check.title}')
    for one in check.counts:
        for what, number, official in one.rows():
            print(f'  {one.name:<16}{what:<10}{number:>9}' + (f'   official {official:>9}' if official else ''))
    print(f'  decoded {check.checked}, problems {len(check.problems)}', flush=True)
    for note in check.notes:
        print(f'  note: {note}')
    for problem in check.problems:
        print(f'  - {problem}')


def draw(checks: list[Check], path: Path) -> None:
    import cv2

    from flmm_plugin.visualization import GroundingVisualizer

    samples = [
        (item['inputs'].permute(1, 2, 0).numpy(), item['data_samples']) for check in checks for item in check.pictures
    ]
    if not samples:
        print(f'{path} is not drawn: no sample can be read')
        return
    sheet = GroundingVisualizer().contact_sheet(samples)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    print(f'\nsheet: {path}')


def main() -> None:
    args = parse_args()
    with readable_errors():
        config = load_config(args.config, args.cfg_options)
        init_default_scope(config.get('default_scope', 'flmm_plugin'))
        data_sets = data_set_configs(config, [args.split] if args.split else SPLITS)
        if not data_sets:
            raise UserError(f'{args.config} has no data set in {args.split or "any"}_dataloader.')
        checks = []
        for one in data_sets:
            checks.append(check_data_set(one, args.limit, args.workers, args.sheet_samples if args.sheet else 0))
            report(checks[-1])
        if args.sheet:
            draw(checks, args.sheet)
    problems = sum(len(check.problems) for check in checks)
    print(f'\n{problems} problems' if problems else '\nno problem found')
    raise SystemExit(bool(problems))


if __name__ == '__main__':
    main()
