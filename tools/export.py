"""Turn a checkpoint into a folder for the Hub, or such a folder back into a .pth file.

python tools/export.py CHECKPOINT DIR --config CONFIG [--metrics metrics.json --test-data TEXT --command TEXT]
python tools/export.py DIR FILE.pth

CHECKPOINT may be of tools/train.py, of DeepSpeed, or the authors'. The LMM need not be at hand.
"""

from __future__ import annotations

import argparse

from flmm_plugin.apis.export import export_folder, export_weights
from flmm_plugin.engine import allow_mmengine_checkpoints
from flmm_plugin.errors import readable_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('src', help='checkpoint, or a folder that this tool wrote')
    parser.add_argument('dst', help='folder to write; for a folder: a .pth, .pt or .safetensors file')
    parser.add_argument('--config', help="the checkpoint's config file")
    parser.add_argument('--half', action='store_true', help='write the weights in half precision')
    card = parser.add_argument_group('model card')
    card.add_argument('--metrics', help='metrics.json of tools/test.py')
    card.add_argument(
        '--training-data',
        default='',
        help='what it was trained on; by default what the checkpoint or CONFIG names',
    )
    card.add_argument('--test-data', default='', help='what the metrics were measured on')
    card.add_argument('--command', default='', help='the command that repeats the test; by default with CONFIG')
    card.add_argument('--license', help='as the Hub spells it, for example apache-2.0')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with readable_errors():
        allow_mmengine_checkpoints()
        if args.config is None:
            written = export_weights(args.src, args.dst)
        else:
            about = {name: getattr(args, name) for name in ('training_data', 'test_data', 'command', 'license')}
            written = export_folder(args.src, args.dst, args.config, args.metrics, args.half, **about)
    print(written)


if __name__ == '__main__':
    main()
