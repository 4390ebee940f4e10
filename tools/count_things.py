"""How well the things of phrases are told apart on scenes that nobody has seen: precision and recall at IoU 0.5.

python tools/count_things.py --lmm flmm_plugin::tiny_llava --sam flmm_plugin::tiny_sam.safetensors
python tools/count_things.py --config CONFIG --checkpoint CHECKPOINT --scenes 200 --seed 4242
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from tqdm import tqdm

from flmm_plugin.apis.arguments import add_model_arguments, load_inferencer
from flmm_plugin.datasets.scenes import sample_scene
from flmm_plugin.errors import readable_errors
from flmm_plugin.tiny.report import table
from flmm_plugin.tiny.things import count_things


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--scenes', type=int, default=200)
    parser.add_argument('--seed', type=int, default=4242, help='of tools/make_scenes.py')
    add_model_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    args.instances = True
    with readable_errors():
        ask = load_inferencer(args)
        indices = tqdm(range(args.scenes), disable=not sys.stderr.isatty())
        scenes = (sample_scene(np.random.default_rng([args.seed, index])) for index in indices)
        counts = count_things(ask, scenes)
    rows = [
        [kind, str(one.there), str(one.found), f'{one.precision:.3f}', f'{one.recall:.3f}']
        for kind, one in counts.items()
    ]
    print(table(['phrases', 'things', 'found', 'precision', 'recall'], rows))


if __name__ == '__main__':
    main()
