"""Writes tiny data sets in the official formats of RefCOCO, gRefCOCO, PNG and ReasonSeg."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

#: what every data set of the configs goes through
PIPELINE = [dict(type='LoadImageRGB'), dict(type='LoadGroundingMasks'), dict(type='PackGroundingInputs')]
HEIGHT, WIDTH = 40, 60
SQUARE = [[5.0, 5.0, 25.0, 5.0, 25.0, 25.0, 5.0, 25.0]]
TWO_PARTS = [[30.0, 5.0, 40.0, 5.0, 40.0, 15.0], [30.0, 20.0, 50.0, 20.0, 50.0, 35.0, 30.0, 35.0]]


def write_image(path: Path, seed: int, height: int = HEIGHT, width: int = WIDTH) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def rle(compressed: bool) -> dict[str, Any]:
    """The mask of rows 10-19, columns 20-49, as COCO's two kinds of RLE."""
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    mask[10:20, 20:50] = 1
    if compressed:
        return {**coco_mask.encode(np.asfortranarray(mask))}
    flat = mask.flatten(order='F')
    changes = np.flatnonzero(np.diff(flat)) + 1
    return {'size': [HEIGHT, WIDTH], 'counts': np.diff([0, *changes, flat.size]).tolist()}


def write_refcoco(root: Path) -> Path:
    """Images 1-4; 1 and 2 are train (polygons; two annotations in image 1), 3 is val (RLE), 4 is testA."""
    segmentations = {11: (1, SQUARE), 12: (1, TWO_PARTS), 21: (2, SQUARE), 31: (3, rle(False)), 41: (4, SQUARE)}
    splits = {1: 'train', 2: 'train', 3: 'val', 4: 'testA'}
    images, annotations, refs = [], [], []
    for image_id in splits:
        write_image(root / 'train2014' / f'{image_id:012d}.png', image_id)
        images.append(dict(id=image_id, file_name=f'{image_id:012d}.png', height=HEIGHT, width=WIDTH))
    for annotation_id, (image_id, segmentation) in segmentations.items():
        annotations.append(
            dict(id=annotation_id, image_id=image_id, category_id=1, segmentation=segmentation, iscrowd=0)
        )
        sentences = [
            dict(sent_id=annotation_id * 10 + i, raw=f'The Thing {annotation_id} {i}', sent='', tokens=[])
            for i in range(3)
        ]
        refs.append(
            dict(
                ref_id=annotation_id + 100,
                ann_id=annotation_id,
                image_id=image_id,
                category_id=1,
                split=splits[image_id],
                file_name=f'{image_id:012d}_{annotation_id}.png',
                sentences=sentences,
                sent_ids=[sentence['sent_id'] for sentence in sentences],
            )
        )
    folder = root / 'refcoco'
    folder.mkdir(parents=True)
    (folder / 'instances.json').write_text(
        json.dumps(dict(images=images, annotations=annotations, categories=[dict(id=1, name='thing')]))
    )
    (folder / 'refs(unc).p').write_bytes(pickle.dumps(refs, protocol=2))
    return root


def id_map(seed: int) -> np.ndarray:
    """(H, W) panoptic ids: sky (stuff) above, grass (stuff) below, two things."""
    ids = np.full((HEIGHT, WIDTH), 70000 + seed, dtype=np.int32)
    ids[20:] = 300
    ids[5:15, 5:20] = 4097
    ids[22:35, 30:50] = 9
    return ids


def write_png(root: Path) -> Path:
    """Two narratives that ground phrases and one that grounds none."""
    images, annotations, narratives = [], [], []
    for image_id in (1, 2, 3):
        name = f'{image_id:012d}'
        write_image(root / 'val2017' / f'{name}.png', image_id)
        ids = id_map(image_id)
        folder = root / 'annotations' / 'panoptic_val2017'
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1).astype(np.uint8)).save(
            folder / f'{name}.png'
        )
        images.append(dict(id=image_id, file_name=f'{name}.png', height=HEIGHT, width=WIDTH))
        categories = {70000 + image_id: 10, 300: 11, 4097: 1, 9: 1}
        annotations.append(
            dict(
                image_id=image_id,
                file_name=f'{name}.png',
                segments_info=[
                    dict(id=int(i), category_id=c, iscrowd=0, area=int((ids == i).sum()), bbox=[0, 0, 1, 1])
                    for i, c in categories.items()
                ],
            )
        )
        narratives.append(dict(image_id=str(image_id), caption='', segments=narrative(image_id)))
    categories_json = [
        dict(id=1, name='dog', isthing=1),
        dict(id=10, name='sky', isthing=0),
        dict(id=11, name='grass', isthing=0),
    ]
    (root / 'annotations' / 'panoptic_val2017.json').write_text(
        json.dumps(dict(images=images, annotations=annotations, categories=categories_json))
    )
    (root / 'annotations' / 'png_coco_val2017.json').write_text(json.dumps(narratives))
    return root


def narrative(image_id: int) -> list[dict[str, Any]]:
    def segment(utterance: str, *ids: int, plural: bool = False) -> dict[str, Any]:
        return dict(utterance=utterance, segment_ids=[str(i) for i in ids], plural=plural, noun=bool(ids))

    if image_id == 3:
        return [segment('nothing to see here .')]
    return [
        segment('in this image there is'),
        segment('a dog ', 4097),
        segment('and there are'),
        segment('two dogs', 4097, 9, plural=True),
        segment('under'),
        segment('the sky', 70000 + image_id),
    ]


def write_grefcoco(root: Path) -> Path:
    """RefCOCO's images and instances; image 1 has expressions with two targets, with one, and without."""
    write_refcoco(root)
    source, folder = root / 'refcoco', root / 'grefcoco'
    folder.mkdir()
    (folder / 'instances.json').write_text((source / 'instances.json').read_text())
    meant = [(1, [11, 12], 'train'), (1, [-1], 'train'), (1, [12], 'train'), (2, [21], 'train'), (3, [31], 'val')]
    refs = [
        dict(
            ref_id=number,
            ann_id=ids,
            category_id=[1] * len(ids),
            image_id=image_id,
            split=split,
            file_name=f'{image_id:012d}.png',
            no_target=ids == [-1],
            sentences=[dict(sent_id=number, raw=f'Expression {number}', sent=f'expression {number}', tokens=[])],
            sent_ids=[number],
        )
        for number, (image_id, ids, split) in enumerate(meant)
    ]
    (folder / 'grefs(unc).json').write_text(json.dumps(refs))
    return root


def write_reasonseg(root: Path) -> Path:
    """Two pictures of split val: a long query with an ignored hole and a deprecated flag, and a short query."""
    folder = root / 'ReasonSeg' / 'val'

    def shape(label: str, left: float, top: float, right: float, bottom: float) -> dict[str, Any]:
        return dict(label=label, points=[[left, top], [right, top], [right, bottom], [left, bottom]])

    records = {
        'beach_1': dict(
            text=['Where could one sit in the shade?', 'What gives shade to sit in?'],
            is_sentence=True,
            # the hole comes first in the file and is drawn last, being smaller
            shapes=[
                shape('ignore', 10, 10, 14, 14),
                shape('target', 5.7, 5.2, 24.9, 19.3),
                shape('flag', 0, 0, 59, 39),
            ],
        ),
        'street_2': dict(text=['the lens'], is_sentence=False, shapes=[shape('target', 40, 20, 80, 30)]),
    }
    for number, (stem, record) in enumerate(records.items()):
        write_image(folder / f'{stem}.jpg', number)
        (folder / f'{stem}.json').write_text(json.dumps(record))
    return root
