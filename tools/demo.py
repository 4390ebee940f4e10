"""From nothing to a grounded answer: make scenes, train on them, test on others, ask a question about one.

python tools/demo.py [--work-dir work_dirs/demo]
python tools/demo.py --config CONFIG --sizes 192x192 144x256     # another tiny config, pictures of several sizes
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONFIG = Path('configs/tiny/flmm_tiny_scenes.py')
TRAIN_SEED, HELD_OUT_SEED = 11, 4242  # neither is a seed that the tiny LMM or the tiny SAM was trained on
ROWS = (
    ('things, mean IoU', 'mIoU_thing'),
    ('stuff, mean IoU', 'mIoU_stuff'),
    ('all, average recall', 'AR_all'),
    ('things, average recall', 'AR_thing'),
    ('plurals, average recall', 'AR_plural'),
)
RES_ROWS = (('expressions, cIoU', 'cIoU'), ('expressions, mean IoU', 'mIoU'))
RES_PROTOCOL = 'concat/first_sentence'


def run(*command: str | Path) -> None:
    """Run one of the tools, and show the command as a user would type it."""
    words = [str(word) for word in command]
    print(f'\n$ python {shlex.join(words)}', flush=True)
    if subprocess.run([sys.executable, *words], cwd=ROOT, check=False).returncode:
        sys.exit(f'demo: stopped, because `python {shlex.join(words)}` failed (see above)')


def make_scenes(folder: Path, num: int, seed: int, splits: str, sizes: list[str]) -> None:
    if (folder / 'refcoco/instances.json').exists():
        print(f'\n{folder} is there already')
    else:
        drawn = ('--num', str(num), '--seed', str(seed), '--splits', *splits.split(), '--sizes', *sizes)
        run('tools/make_scenes.py', folder, *drawn)


def train(config: Path, work_dir: Path, scenes: Path) -> None:
    """With what the frozen parts make of a scene kept on disk, for it comes several times."""
    options = [
        f'data_root={scenes}',
        f'model.lmm.map_folder={work_dir / "maps"}',
        f'model.refiner.feature_folder={work_dir / "features"}',
    ]
    run('tools/train.py', config, '--work-dir', work_dir, '--cfg-options', *options)


def metrics_table(metrics: dict[str, float]) -> str:
    lines = [f'{"held-out scenes":<26}{"U-Net alone":>12}{"with SAM":>12}']
    keys = [(name, f'{{}}/narrative/{key}', 'png') for name, key in ROWS]
    keys += [(name, f'{{}}/{RES_PROTOCOL}/{key}', 'res') for name, key in RES_ROWS]
    for name, key, metric in keys:
        coarse, refined = (metrics[key.format(prefix)] for prefix in (f'{metric}_coarse', metric))
        lines.append(f'{name:<26}{coarse:>12.3f}{refined:>12.3f}')
    return '\n'.join(lines)


def talk(config: Path, checkpoint: Path, image: Path, out: Path) -> None:
    """Ask about one held-out picture; print the answer and save what was grounded."""
    from flmm_plugin.apis import FLMMInferencer
    from flmm_plugin.images import read_rgb
    from flmm_plugin.visualization import GroundingVisualizer

    question = 'Describe the image.'
    result = FLMMInferencer(ROOT / config, checkpoint)(image, question)
    GroundingVisualizer().add_datasample('chat', read_rgb(image), result.data_sample, draw_gt=False, out_file=str(out))
    print(f'\n{image}\nUSER: {question}\nLMM:  {result.answer}')
    for phrase in result.phrases:
        where = f'{int(phrase.mask.sum())} pixels' if phrase.mask is not None else 'not found'
        print(f'  grounded: {phrase.text!r}, {where}, score {phrase.score:.2f}')
    print(f'picture: {out}')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/demo'))
    parser.add_argument('--config', type=Path, default=CONFIG)
    parser.add_argument('--sizes', nargs='+', default=['192x192'], metavar='HxW', help='of the pictures')
    parser.add_argument('--train-scenes', type=int, default=400)
    parser.add_argument('--test-scenes', type=int, default=300)
    args = parser.parse_args()
    begin, work_dir = time.time(), args.work_dir
    seen, held_out = work_dir / 'scenes', work_dir / 'held_out_scenes'
    make_scenes(seen, args.train_scenes, TRAIN_SEED, '0.95 0.05 0', args.sizes)
    make_scenes(held_out, args.test_scenes, HELD_OUT_SEED, '0 1 0', args.sizes)
    train(args.config, work_dir, seen)
    trained = time.time()
    checkpoint = Path((work_dir / 'last_checkpoint').read_text().strip())
    pictures = (work_dir / 'pictures').resolve()
    options = ('--show-dir', pictures, '--cfg-options', f'data_root={held_out}')
    run('tools/test.py', args.config, checkpoint, '--work-dir', work_dir / 'test', *options)
    print('\n' + metrics_table(json.loads((work_dir / 'test/metrics.json').read_text())))
    print(f'metrics: {work_dir / "test/metrics.json"}\npictures: {pictures / "contact_sheet.png"}')
    talk(args.config, checkpoint, sorted((held_out / 'images').iterdir())[3], work_dir / 'answer.png')
    print(f'\ncheckpoint: {checkpoint}')
    print(f'done in {(time.time() - begin) / 60:.1f} minutes (training and scenes {(trained - begin) / 60:.1f})')


if __name__ == '__main__':
    main()
