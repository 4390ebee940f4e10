"""Turn a checkpoint into a small safetensors file of what is trained, or back into a .pth file.

Reads MMEngine's and the authors' .pth files, DeepSpeed's, and safetensors. The suffix of DST says what is written.
"""

import argparse

from flmm_plugin.engine import allow_mmengine_checkpoints
from flmm_plugin.errors import readable_errors
from flmm_plugin.models.weights.checkpoints import read_tensors, trained_part, write_tensors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('src', help='checkpoint to read')
    parser.add_argument('dst', help='file to write: .safetensors, .pth or .pt')
    args = parser.parse_args()
    with readable_errors():
        allow_mmengine_checkpoints()
        tensors = trained_part(read_tensors(args.src))
        write_tensors(tensors, args.dst)
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) / 1e6
    print(f'{args.dst}: {len(tensors)} tensors, {size:.1f} MB')


if __name__ == '__main__':
    main()
