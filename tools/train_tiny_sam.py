"""Train the tiny SAM that ships with the project, from scratch, on box and mask prompts over scenes; or a tiny SAM 2.

python tools/train_tiny_sam.py OUT.safetensors [--steps 800] [--seed 0] [--threads 2]
python tools/train_tiny_sam.py OUT_DIR --arch sam2
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.utils.data import DataLoader

from flmm_plugin.models.refiners import HFSAMRefiner, SAMRefiner
from flmm_plugin.models.refiners.base import PromptedRefiner
from flmm_plugin.tiny.fitting import fit
from flmm_plugin.tiny.sam import PromptedScenes, mask_iou, refine, segmentation_loss
from flmm_plugin.tiny.sam2 import encode_in_training, save_untrained

PROMPTS = (('mask', 'box'), ('mask', 'box'), ('mask',), ('box',))
HELD_OUT = 10**6


@torch.no_grad()
def held_out_iou(refiner: PromptedRefiner, scenes: PromptedScenes, num: int) -> dict[str, float]:
    """Mean IoU of held-out masks before and after refinement, things and stuff apart."""
    found: dict[str, list] = {'coarse_thing': [], 'coarse_stuff': [], 'thing': [], 'stuff': []}
    refiner.prompts = ('mask', 'box')
    for index in range(num):
        sample = scenes.sample(HELD_OUT + index)
        logits, _ = next(refine(refiner, [sample]))
        before = torch.nn.functional.interpolate(sample[2][None], size=logits.shape[1:], mode='bilinear')[0]
        for name, values in (('coarse_', before), ('', logits)):
            ious = mask_iou(values, sample[1])
            found[name + 'stuff'].append(ious[:2])
            found[name + 'thing'].append(ious[2:])
    return {name: round(torch.cat(values).mean().item(), 4) for name, values in found.items()}


def untrained(arch: str, out: Path) -> tuple[PromptedRefiner, Callable, Callable[[], None]]:
    """A refiner of random weights, what refines by it in training, and what saves it."""
    if arch == 'sam2':
        save_untrained(out)
        sam2 = HFSAMRefiner(pretrained=str(out), prompts=('mask', 'box'))
        sam2.model.requires_grad_(True)
        return sam2, partial(refine, encode=partial(encode_in_training, sam2)), lambda: sam2.model.save_pretrained(out)
    sam = SAMRefiner(arch='tiny', prompts=('mask', 'box'))
    sam.model.image_encoder.requires_grad_(True)

    def save() -> None:
        out.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.contiguous() for name, tensor in sam.model.state_dict().items()}, out)

    return sam, refine, save


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path)
    parser.add_argument('--arch', choices=('sam', 'sam2'), default='sam', help="sam2: a folder of transformers' model")
    parser.add_argument('--steps', type=int, default=800)
    parser.add_argument('--batch', type=int, default=8)
    parser.add_argument('--lr', type=float, default=2e-3)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--threads', type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    random.seed(args.seed)
    refiner, refine_in_training, write = untrained(args.arch, args.out)
    print(f'{sum(p.numel() for p in refiner.parameters()) / 1e6:.2f} M parameters', flush=True)
    scenes = PromptedScenes(args.seed + 100)

    def loss(batch: list) -> torch.Tensor:
        refiner.prompts = random.choice(PROMPTS)
        parts = [
            segmentation_loss(logits, scores, masks)
            for (logits, scores), (_, masks, _) in zip(refine_in_training(refiner, batch), batch, strict=True)
        ]
        return torch.stack(parts).mean()

    def save(num: int) -> str:
        write()
        found = json.dumps(held_out_iou(refiner, scenes, num))
        args.out.with_suffix('.json').write_text(found)
        return found

    loader = DataLoader(scenes, args.batch, num_workers=1, collate_fn=list, prefetch_factor=8)
    fit(
        loss,
        lambda _: iter(loader),
        refiner.named_parameters(),
        lr=args.lr,
        steps=args.steps,
        log='sam',
        evaluate=lambda: save(50),
    )
    print(save(500))


if __name__ == '__main__':
    main()
