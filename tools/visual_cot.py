"""Visual chain of thought on a file of the VisCoT benchmark: which object matters, where it is, the answer.

python tools/visual_cot.py BENCHMARK.json --image-root DIR --config CONFIG --checkpoint CHECKPOINT --out results.json

The LMM must take two images, but for `--protocol authors/v3`, which answers at once.
Scores are exact match, ANLS and the IoU of boxes; the benchmark's own scoring by GPT is
left to those who have a key for it: results.json has all that it needs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from flmm_plugin.apis import read_image
from flmm_plugin.apis.answer_scores import anls, box_iou, exact_match
from flmm_plugin.apis.arguments import add_model_arguments, load_inferencer
from flmm_plugin.apis.visual_cot import PROTOCOLS, think
from flmm_plugin.apis.visual_cot.benchmark import read_viscot, summarize
from flmm_plugin.apis.visual_cot.crops import CROPS
from flmm_plugin.errors import readable_errors
from flmm_plugin.plain_json import to_json


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('benchmark', help='a JSON file of the benchmark')
    parser.add_argument('--image-root', type=Path, default=Path('.'), help='folder that its image paths begin in')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/visual_cot.json'), help='answers, boxes and scores')
    parser.add_argument('--limit', type=int, help='only so many questions')
    parser.add_argument('--protocol', choices=PROTOCOLS, default='closer_look', help='how a question is answered')
    parser.add_argument('--crop', choices=CROPS, help="how the closer look is cut out; the protocol's own by default")
    parser.add_argument(
        '--box-scale', type=float, default=1.0, help='how much wider than the object the closer look is'
    )
    add_model_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with readable_errors():
        questions = read_viscot(args.benchmark)[: args.limit]
        if swapped := sum(question.swapped for question in questions):
            print(f'{args.benchmark}: the corners of {swapped} boxes were swapped and are put in order')
        inferencer = load_inferencer(args)
        rows = []
        for question in tqdm(questions):
            image = read_image(args.image_root / question.image)
            way = dict(protocol=args.protocol, crop=args.crop, box_scale=args.box_scale)
            thought = think(inferencer, image, question.text, **way)
            rows.append(
                dict(
                    question_id=question.id,
                    image=question.image,
                    question=question.text,
                    thought=thought.text,
                    grounded=thought.grounded,
                    box=list(thought.box),
                    gt_bbox=list(question.box),
                    answer=thought.answer,
                    gt=question.answer,
                    exact_match=exact_match(thought.answer, question.answer),
                    anls=anls(thought.answer, question.answer),
                    box_iou=box_iou(thought.box, question.box),
                )
            )
        summary = summarize(rows)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        settings = dict(
            protocol=args.protocol, crop=args.crop or PROTOCOLS[args.protocol].crop, box_scale=args.box_scale
        )
        content = dict(**settings, summary=summary, results=rows)
        args.out.write_text(to_json(content, indent=2, ensure_ascii=False) + '\n')
        print('  '.join(f'{name} {value:.4g}' for name, value in summary.items()))
        print(f'-> {args.out}')


if __name__ == '__main__':
    main()
