"""COCO's instances: a mask, box and category for each grounded phrase, or thing of it, and the answers as captions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flmm_plugin.annotation.export.categories import Categories
from flmm_plugin.datasets.sources import Source
from flmm_plugin.plain_json import to_json
from flmm_plugin.rle import decode_mask

Record = dict[str, Any]


def write_coco(records: Iterator[tuple[Source, dict[str, Any]]], folder: Path) -> None:
    """``instances.json`` and, where there are answers, ``captions.json``."""
    images: list[Record] = []
    annotations: list[Record] = []
    captions: list[Record] = []
    categories = Categories()
    for source, record in records:
        image_id = record['image_id']
        images.append(dict(id=image_id, file_name=source.name, **record['image']))
        if record['answer']:
            captions.append(dict(id=len(captions) + 1, image_id=image_id, caption=record['answer']))
        for phrase in record['phrases']:
            optional = {name: phrase[name] for name in ('presence',) if name in phrase}
            for thing in things_of(phrase):
                x0, y0, x1, y1 = thing['box']
                annotations.append(
                    dict(
                        id=len(annotations) + 1,
                        image_id=image_id,
                        category_id=categories.of(phrase['text']),
                        segmentation=thing['mask'],
                        area=int(decode_mask(thing['mask']).sum()),
                        bbox=[x0, y0, x1 - x0, y1 - y0],
                        iscrowd=0,
                        score=thing['score'],
                        caption=phrase['text'],
                        **optional,
                    )
                )
    instances = dict(images=images, annotations=annotations, categories=categories.records())
    (folder / 'instances.json').write_text(to_json(instances))
    if captions:
        (folder / 'captions.json').write_text(to_json(dict(images=images, annotations=captions)))


def things_of(phrase: Record) -> list[Record]:
    """What a phrase's masks are of: its things where they were told apart, else itself; nothing where not grounded."""
    return (phrase.get('instances') or [phrase]) if phrase['grounded'] else []
