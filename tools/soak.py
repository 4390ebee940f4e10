"""Chat, visit the page and train for a while, and see whether descriptors, threads, memory or files pile up.

python tools/soak.py [--minutes 10] [--checkpoint CHECKPOINT --config CONFIG]     # the shipped tiny model by default
python tools/soak.py --minutes 60 --requests 1000                                 # until the page has had so many
python tools/soak.py --minutes 3 --parts requests                                 # one part, to see which one grows
"""

from __future__ import annotations

import argparse
from pathlib import Path

from flmm_plugin.apis.arguments import add_model_arguments, load_inferencer
from flmm_plugin.errors import readable_errors
from flmm_plugin.soak.run import PARTS, grown, line, soak

TRAINING = str(Path(__file__).resolve().parents[1] / 'configs/tiny/flmm_tiny_scenes.py')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=float, default=10, help='how long; the page forgets after a sixth of it')
    parser.add_argument('--requests', type=int, help='end when the page has had so many requests, if that is earlier')
    parser.add_argument('--parts', nargs='+', choices=PARTS, default=PARTS, help='what is done')
    parser.add_argument('--training', default=TRAINING, help='config of what is trained, on scenes')
    add_model_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with readable_errors():
        rows = soak(
            load_inferencer(args),
            args.training,
            args.minutes * 60,
            lambda row: print(line(row), flush=True),
            requests=args.requests,
            parts=args.parts,
        )
    piled_up = grown(rows)
    print(f'piled up: {piled_up}' if piled_up else 'nothing piled up')
    raise SystemExit(bool(piled_up))


if __name__ == '__main__':
    main()
