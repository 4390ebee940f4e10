"""COCO's panoptic format and PNG's narratives, which this project trains on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from flmm_plugin.annotation.export.categories import Categories
from flmm_plugin.datasets.sources import Source
from flmm_plugin.plain_json import to_json
from flmm_plugin.rle import decode_mask

LEAST_PIXELS = 16


def write_narratives(records: Iterator[tuple[Source, dict[str, Any]]], folder: Path) -> None:
    """``png_coco.json``, ``panoptic.json`` and ``panoptic/*.png``; pictures are named as they were given.

    Segments share no pixel in this format: where masks overlap, the smaller one is in front. Phrases of which hardly
    anything is seen stay words.
    """
    (folder / 'panoptic').mkdir(exist_ok=True)
    images, segmentations, narratives, categories = [], [], [], Categories()
    for source, record in records:
        image_id = record['image_id']
        if not record['answer']:
            continue
        ids = lay_over(record)
        name = f'{image_id:012d}.png'
        Image.fromarray(np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1).astype(np.uint8)).save(
            folder / 'panoptic' / name
        )
        infos = []
        for number in np.unique(ids[ids > 0]).tolist():
            category = categories.of(record['phrases'][number - 1]['text'])
            infos.append(dict(id=number, category_id=category, iscrowd=0, **measure(ids == number)))
        images.append(dict(id=image_id, file_name=source.name, **record['image']))
        segmentations.append(dict(image_id=image_id, file_name=name, segments_info=infos))
        seen = {info['id'] for info in infos}
        narratives.append(
            dict(image_id=str(image_id), caption=record['answer'], segments=cut_up(record, seen)),
        )
    panoptic = dict(images=images, annotations=segmentations, categories=categories.records())
    (folder / 'panoptic.json').write_text(to_json(panoptic))
    (folder / 'png_coco.json').write_text(to_json(narratives))


def lay_over(record: dict[str, Any]) -> NDArray[np.int64]:
    """Ids (H, W): one more than the index of the phrase that a pixel belongs to, 0 where there is none."""
    ids = np.zeros((record['image']['height'], record['image']['width']), np.int64)
    masks = {i: decode_mask(p['mask']) for i, p in enumerate(record['phrases'], 1) if p['grounded']}
    for number, mask in sorted(masks.items(), key=lambda item: -int(item[1].sum())):
        ids[mask] = number
    counts = np.bincount(ids.ravel())
    few = [number for number in np.flatnonzero(counts) if number and counts[number] < LEAST_PIXELS]
    ids[np.isin(ids, few)] = 0
    return ids


def measure(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Area and box (x, y, width, height)."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    y0, y1, x0, x1 = (int(value) for value in (rows[0], rows[-1], columns[0], columns[-1]))
    return dict(area=int(mask.sum()), bbox=[x0, y0, x1 - x0 + 1, y1 - y0 + 1])


def cut_up(record: dict[str, Any], seen: set[int]) -> list[dict[str, Any]]:
    """The answer in utterances, each a phrase with its segment or what stands between two."""
    text = record['answer']
    spans = sorted(
        (tuple(span), number) for number, phrase in enumerate(record['phrases'], 1) for span in phrase['spans']
    )
    pieces, at = [], 0
    for (start, end), number in spans:
        if number not in seen or start < at:
            continue
        pieces += [(text[at:start], 0), (text[start:end], number)]
        at = end
    pieces.append((text[at:], 0))
    return [
        dict(utterance=words.strip(), segment_ids=[str(number)] if number else [], noun=bool(number), plural=False)
        for words, number in pieces
        if words.strip()
    ]
