"""COCO's instances: a mask, box and category for each grounded phrase, and the answers as captions."""

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
    for image_id, (source, record) in enumerate(records, 1):
        images.append(dict(id=image_id, file_name=source.name, **record['image']))
        if record['answer']:
            captions.append(dict(id=len(captions) + 1, image_id=image_id, caption=record['answer']))
        for phrase in record['phrases']:
            if phrase['grounded']:
                x0, y0, x1, y1 = phrase['box']
                optional = {name: phrase[name] for name in ('presence',) if name in phrase}
                annotations.append(
                    dict(
                        id=len(annotations) + 1,
                        image_id=image_id,
                        category_id=categories.of(phrase['text']),
                        segmentation=phrase['mask'],
                        area=int(decode_mask(phrase['mask']).sum()),
                        bbox=[x0, y0, x1 - x0, y1 - y0],
                        iscrowd=0,
                        score=phrase['score'],
                        caption=phrase['text'],
                        **optional,
                    )
                )
    instances = dict(images=images, annotations=annotations, categories=categories.records())
    (folder / 'instances.json').write_text(to_json(instances))
    if captions:
        (folder / 'captions.json').write_text(to_json(dict(images=images, annotations=captions)))
