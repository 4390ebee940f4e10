"""Talk about an image and see where the things are that the answers name.

python tools/chat.py IMAGE                  # describes it, then asks you, until an empty line
python tools/chat.py IMAGE "What is on the table?"
python tools/chat.py IMAGE --phrases "the dog" "the red ball"
python tools/chat.py IMAGE --checkpoint DIR              # a folder of tools/export.py, or a model of the Hub
python tools/chat.py IMAGE --config CONFIG --checkpoint CHECKPOINT       # of tools/train.py
python tools/chat.py IMAGE --lmm LMM --sam SAM_FILE                      # any LMM, nothing trained

Without --checkpoint a tiny model talks that ships with the package and knows nothing but scenes of coloured shapes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from PIL import Image
from torch import Tensor

from flmm_plugin.apis import GroundedAnswer, read_image
from flmm_plugin.apis.arguments import add_model_arguments, load_inferencer
from flmm_plugin.apis.pictures import color_marks, describe, draw_answer
from flmm_plugin.errors import UserError, readable_errors
from flmm_plugin.plain_json import to_json
from flmm_plugin.visualization.terminal import paint, wants_color


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('image', help='image file')
    parser.add_argument('question', nargs='?', help='what to ask; without it the image is described and you are asked')
    parser.add_argument('--phrases', nargs='+', help='ground these expressions instead of asking anything')
    parser.add_argument('--caption', action='store_true', help='describe the image and ground everything')
    parser.add_argument('--out-dir', type=Path, default=Path('work_dirs/chat'), help='where pictures and JSON go')
    add_model_arguments(parser)
    args = parser.parse_args()
    if sum(map(bool, (args.question, args.phrases, args.caption))) > 1:
        parser.error('a question, --phrases and --caption exclude each other')
    return args


def show(answer: GroundedAnswer, image: Tensor, out_dir: Path, name: str) -> None:
    """Print the answer, its phrases in the colours of their masks, and write picture and JSON."""
    color = wants_color(sys.stdout)
    if answer.answer:
        print(paint(answer.answer, color_marks(answer)) if color else answer.answer)
    for index, phrase in enumerate(answer.phrases):
        print('  ' + describe(phrase, index, color))
    out_dir.mkdir(parents=True, exist_ok=True)
    picture, plain = out_dir / f'{name}.png', out_dir / f'{name}.json'
    Image.fromarray(draw_answer(image, answer)).save(picture)
    plain.write_text(to_json(answer.to_dict(), indent=2, ensure_ascii=False) + '\n')
    print(f'  -> {picture}, {plain}', flush=True)


def main() -> None:
    args = parse_args()
    with readable_errors():
        image = read_image(args.image)
        ask = load_inferencer(args)
        if args.phrases:
            show(ask(args.image, phrases=args.phrases), image, args.out_dir, 'phrases')
            return
        conversation = ask.converse(args.image)

        def answer(question: str) -> None:
            told = conversation.ask(question, max_new_tokens=args.max_new_tokens)
            show(told, image, args.out_dir, f'answer_{len(conversation.turns)}' if several else 'answer')

        several = args.question is None and not args.caption
        if not several:
            answer(ask.caption_prompt if args.caption else args.question)
            return
        if sys.stdin.isatty():
            answer(ask.caption_prompt)
        while question := read_question('you: ' if sys.stdin.isatty() else ''):
            try:
                answer(question)
            except UserError as error:
                print(f'Error: {error}', file=sys.stderr)
        if not conversation.turns:  # nobody at the keyboard and nothing asked
            answer(ask.caption_prompt)


def read_question(prompt: str) -> str:
    """A line from the user; empty at the end."""
    try:
        return input(prompt).strip()
    except EOFError:
        return ''


if __name__ == '__main__':
    main()
