"""Grounded captions of many pictures, or masks of given names in them: a line of JSON for each, and exports of it.

python tools/annotate.py IMAGES --out DIR [--config CONFIG --checkpoint CHECKPOINT]
python tools/annotate.py IMAGES --out DIR --phrases-file names.txt --export coco

IMAGES: a folder, a glob in quotes, a text file of paths, a COCO JSON, or webdataset tars. The same command goes on
where a run was stopped. Without --checkpoint a tiny model annotates that knows nothing but scenes of coloured shapes.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from flmm_plugin.annotation.batch_size import Room, find_batch_size
from flmm_plugin.annotation.export import EXPORTERS, export
from flmm_plugin.annotation.names import check_same_phrases, read_phrases
from flmm_plugin.annotation.run import Claims, Summary, run
from flmm_plugin.annotation.settings import describe_run
from flmm_plugin.annotation.store import Store
from flmm_plugin.apis.annotated import Picture
from flmm_plugin.apis.arguments import add_model_arguments, load_inferencer
from flmm_plugin.datasets.sources import Source, find_pictures
from flmm_plugin.engine.config import set_local_rank
from flmm_plugin.engine.processes import Ranks
from flmm_plugin.errors import readable_errors
from flmm_plugin.plain_json import write_json


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('images', help='folder, glob, .txt, COCO .json or .tar')
    parser.add_argument('--out', type=Path, required=True, help='folder of the results')
    parser.add_argument('--image-root', help='what paths of a .txt or .json are relative to')
    parser.add_argument('--question', help='what is asked of each picture; a caption by default')
    parser.add_argument('--phrases-file', help='ground these instead: a name a line, or JSON {picture: [names]}')
    parser.add_argument('--batch-size', type=size, default=8, help='pictures that are answered together, or auto')
    parser.add_argument('--room', type=float, help='GiB that auto may take; 80 percent of what is free by default')
    parser.add_argument('--export', nargs='+', choices=sorted(EXPORTERS), default=[], help='write these as well')
    parser.add_argument('--strict', action='store_true', help='exit with 1 if any picture had an error')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm'], default='none', help='job launcher')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    add_model_arguments(parser)
    args = parser.parse_args()
    if args.phrases_file is not None and 'coco-panoptic' in args.export:
        parser.error('--export coco-panoptic writes narratives, which are answers: with --phrases-file there are none')
    set_local_rank(args)
    return args


def size(text: str) -> int | None:
    if text == 'auto':
        return None
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text!r}: expected a number of pictures, one at least, or auto')
    return int(text)


def main() -> None:
    args = parse_args()
    with readable_errors():
        sources = find_pictures(args.images, args.image_root)
        names = None if args.phrases_file is None else read_phrases(args.phrases_file, sources)
        ranks = Ranks.join(args.launcher)
        if args.device is None and ranks.device is not None:
            args.device = ranks.device
        ask = load_inferencer(args)
        question = args.question or ask.caption_prompt
        generation = dict(max_new_tokens=args.max_new_tokens)

        def to_picture(source: Source) -> Picture:
            own = None if names is None else names[source.name]
            return Picture(source.name, source.open, question, own, source.stated)

        def fitting() -> int:
            room = Room.of(ask.device, None if args.room is None else args.room * 2**30)
            return find_batch_size(ask, map(to_picture, sources), room, generation)

        if args.batch_size is None:
            # A run goes on with the size that it began with: other batches give other last digits.
            args.batch_size = ranks.share(lambda: Store.settings(args.out).get('batch_size') or fitting())
        store = Store(args.out, describe_run(ask, args, question, names), ranks.rank)
        if names is not None:
            check_same_phrases(store.records(), names)
        claims = Claims(args.out / 'claims')
        if ranks.rank == 0:
            claims.clear()
        ranks.wait()

        with tqdm(total=len(sources), unit='picture', disable=not sys.stderr.isatty() or ranks.rank > 0) as bar:
            before, begun = len(store.done()), time.monotonic()
            bar.update(before)
            run(
                ask,
                sources,
                to_picture,
                store,
                batch_size=args.batch_size,
                generation=generation,
                claim=claims if ranks.count > 1 else lambda batch: True,
                progress=lambda count: bar.update(min(count * ranks.count, bar.total - bar.n)),  # all are as fast
            )
        ranks.wait()
        if ranks.rank > 0:
            return
        claims.clear()
        summary = Summary.of(store)
        write_json(args.out / 'summary.json', asdict(summary), indent=1, ensure_ascii=False)
        took = f'{summary.pictures - before} of them in {time.monotonic() - begun:.0f} s now'
        print(f'{summary}; {took}, {args.batch_size} at a time -> {args.out}')
        for kind in args.export:
            print(f'{kind}: {export(kind, store, sources, args.out / kind)}')
    if args.strict and summary.errors:
        sys.exit(1)


if __name__ == '__main__':
    main()
