"""Write a procedural data set in the official formats of RefCOCO, panoptic narratives and POPE.

python tools/make_scenes.py OUT --num 2000 --seed 0
python tools/make_scenes.py OUT --num 500 --seed 1 --splits 0 1 0     # all of it held out
python tools/make_scenes.py OUT --sizes 192x192 144x256 256x144       # height x width, in turn
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from flmm_plugin.datasets.scenes import write_scenes


def height_width(text: str) -> tuple[int, int]:
    height, width = (int(side) for side in text.split('x'))
    return height, width


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path, help='a new or empty folder')
    parser.add_argument('--num', type=int, default=2000, help='number of scenes')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--splits', type=float, nargs=3, default=(0.8, 0.1, 0.1), metavar=('TRAIN', 'VAL', 'TEST'))
    parser.add_argument('--sizes', type=height_width, nargs='+', default=((192, 192),), metavar='HxW', help='in pixels')
    parser.add_argument('--workers', type=int, default=min(os.cpu_count() or 1, 8), help='processes')
    args = parser.parse_args()
    begin = time.time()

    def progress(done: int) -> None:
        print(f'\r{done}/{args.num} scenes', end='', flush=True, file=sys.stderr)

    try:
        counts = write_scenes(args.out, args.num, args.seed, args.splits, args.workers, progress, args.sizes)
    except (ValueError, OSError) as error:
        print(f'make_scenes: {error}', file=sys.stderr)
        return 1
    seconds = time.time() - begin
    listed = ', '.join(f'{count} {name}' for name, count in counts.items())
    print(f'\r{args.num} scenes ({listed}) in {args.out}, {args.num / seconds:.0f} a second')
    return 0


if __name__ == '__main__':
    sys.exit(main())
