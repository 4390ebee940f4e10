"""Write scenes to disk as RefCOCO (COCO instances, refs pickle), panoptic narratives (JSON, id PNGs) and POPE lines."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from flmm_plugin.datasets.scenes import language
from flmm_plugin.datasets.scenes.existence import WAYS, existence_questions
from flmm_plugin.datasets.scenes.render import BOTTOM, FIRST_THING, TOP, render
from flmm_plugin.datasets.scenes.world import IMAGE_SIZE, SHAPES, STUFF, Scene, sample_scene

SPLITS = ('train', 'val', 'test')
THING_IDS = {name: number for number, name in enumerate(SHAPES, 1)}
STUFF_IDS = {name: number for number, name in enumerate(STUFF, 101)}
CHUNK = 64
ID_STEP = 66051  # 1 + 2 * 256 + 3 * 65536: panoptic ids that use all three bytes of a pixel
Record = dict[str, Any]


@dataclass(frozen=True)
class SceneRecord:
    """Annotations of one written scene."""

    split: str
    image: Record
    instances: list[Record]
    refs: list[Record]
    panoptic: Record
    narrative: Record
    kinds: list[tuple[str, str]]  # colour and shape of each thing


def write_scenes(
    out: Path,
    num: int,
    seed: int = 0,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
    sizes: Sequence[tuple[int, int]] = ((IMAGE_SIZE, IMAGE_SIZE),),
) -> dict[str, int]:
    """Write ``num`` scenes to the new or empty folder ``out``; the same seed gives the same files.

    Args:
        fractions: shares of the train, val and test splits, in this order of scenes.
        sizes: (height, width) of pictures in pixels; the scenes have them in turn.
        progress: called with the number of scenes written so far.

    Returns:
        The number of scenes by split.

    Raises:
        FileExistsError: ``out`` is not empty.
        ValueError: no scenes, or fractions that are negative or do not sum to 1.
    """
    if num < 1:
        raise ValueError(f'num is {num}: at least one scene is needed')
    if len(fractions) != len(SPLITS) or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f'splits {tuple(fractions)}: three shares (train, val, test) that sum to 1 are needed')
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f'{out} is not empty: name a new folder, or delete this one')
    ends = [round(num * sum(fractions[: i + 1])) for i in range(len(SPLITS))]
    splits = [name for name, (a, b) in zip(SPLITS, pairwise([0, *ends]), strict=True) for _ in range(b - a)]
    for folder in ('images', 'refcoco', 'pope', *(f'png/panoptic_{name}' for name in SPLITS)):
        (out / folder).mkdir(parents=True)
    work = partial(_write_chunk, out, seed, sizes)
    chunks = [list(enumerate(splits))[start : start + CHUNK] for start in range(0, num, CHUNK)]
    records: list[SceneRecord] = []
    if workers > 1:
        with ProcessPoolExecutor(workers) as pool:
            results = pool.map(work, chunks)
            for part in results:
                records += part
                if progress:
                    progress(len(records))
    else:
        for chunk in chunks:
            records += work(chunk)
            if progress:
                progress(len(records))
    _write_annotations(out, records)
    _write_questions(out, records, seed)
    return {name: splits.count(name) for name in SPLITS}


def _write_chunk(
    out: Path, seed: int, sizes: Sequence[tuple[int, int]], chunk: list[tuple[int, str]]
) -> list[SceneRecord]:
    cv2.setNumThreads(0)
    scenes = ((sample_scene(np.random.default_rng([seed, i]), sizes[i % len(sizes)]), i + 1, s) for i, s in chunk)
    return [_write_scene(out, *scene) for scene in scenes]


def _write_scene(out: Path, scene: Scene, image_id: int, split: str) -> SceneRecord:
    pixels, owners = render(scene)
    name = f'{image_id:012d}'
    image: Record = {'id': image_id, 'file_name': f'{name}.jpg', 'width': scene.width, 'height': scene.height}
    cv2.imwrite(str(out / 'images' / image['file_name']), pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    _write_ids(out / f'png/panoptic_{split}/{name}.png', owners)
    instances = [
        {**_annotation(owners == index + FIRST_THING), 'id': image_id * 10 + index, 'image_id': image_id, 'iscrowd': 0}
        | {'category_id': THING_IDS[thing.shape]}
        for index, thing in enumerate(scene.things)
    ]
    return SceneRecord(
        split=split,
        image=image,
        instances=instances,
        refs=[ref for index in range(len(scene.things)) for ref in _ref(scene, index, instances[index], split)],
        panoptic={'image_id': image_id, 'file_name': f'{name}.png', 'segments_info': _segments(scene, owners)},
        narrative=_narrative(scene, image_id),
        kinds=[(thing.color, thing.shape) for thing in scene.things],
    )


def _segment_id(owner: int) -> int:
    return (owner + 1) * ID_STEP


def _write_ids(path: Path, owners: NDArray[np.uint8]) -> None:
    ids = (owners.astype(np.uint32) + 1) * ID_STEP
    rgb = np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1).astype(np.uint8)
    cv2.imwrite(str(path), rgb[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])


def _annotation(mask: NDArray[np.bool_]) -> Record:
    """Run-length mask, area and box. Polygons could not say exactly what the pixels of the panoptic map say."""
    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    area, box = int(coco_mask.area(rle)), coco_mask.toBbox(rle).tolist()
    return {'segmentation': {'size': rle['size'], 'counts': rle['counts'].decode()}, 'area': area, 'bbox': box}


def _segments(scene: Scene, owners: NDArray[np.uint8]) -> list[Record]:
    categories = {TOP: STUFF_IDS[scene.top], BOTTOM: STUFF_IDS[scene.bottom]}
    categories |= {i + FIRST_THING: THING_IDS[thing.shape] for i, thing in enumerate(scene.things)}
    found = []
    for owner, category in categories.items():
        measured = _annotation(owners == owner)
        del measured['segmentation']
        if measured['area']:
            found.append({'id': _segment_id(owner), 'category_id': category, 'iscrowd': 0, **measured})
    return found


def _ref(scene: Scene, index: int, instance: Record, split: str) -> list[Record]:
    said = language.expressions(scene, index)
    if not said:
        return []
    sent_ids = [instance['id'] * 10 + number for number in range(len(said))]
    sentences = [
        {'sent_id': sent_id, 'raw': text, 'sent': text, 'tokens': text.split()}
        for sent_id, text in zip(sent_ids, said, strict=True)
    ]
    found = {'ref_id': instance['id'], 'ann_id': instance['id'], 'sentences': sentences, 'sent_ids': sent_ids}
    image_id = instance['image_id']
    place = {'image_id': image_id, 'file_name': f'{image_id:012d}.jpg', 'category_id': instance['category_id']}
    return [{**found, **place, 'split': split}]


def _narrative(scene: Scene, image_id: int) -> Record:
    segments: list[Record] = []
    for span in language.narrative(scene):
        owners = [index + FIRST_THING for index in span.things]
        if span.stuff:
            owners = [TOP if span.stuff == 'top' else BOTTOM]
        ids = [str(_segment_id(owner)) for owner in owners]
        segments.append(
            {'utterance': span.text, 'segment_ids': ids, 'noun': span.grounded, 'plural': len(span.things) > 1}
        )
    caption = ' '.join(segment['utterance'] for segment in segments)
    return {'image_id': str(image_id), 'caption': caption, 'segments': segments}


def _write_annotations(out: Path, records: list[SceneRecord]) -> None:
    things = [{'id': number, 'name': name, 'isthing': 1} for name, number in THING_IDS.items()]
    stuff = [{'id': number, 'name': name, 'isthing': 0} for name, number in STUFF_IDS.items()]
    images = [record.image for record in records]
    annotations = [instance for record in records for instance in record.instances]
    _dump(out / 'refcoco/instances.json', {'images': images, 'annotations': annotations, 'categories': things})
    with (out / 'refcoco/refs(unc).p').open('wb') as file:
        pickle.dump([ref for record in records for ref in record.refs], file)
    for split in SPLITS:
        part = [record for record in records if record.split == split]
        panoptic = {'images': [r.image for r in part], 'annotations': [r.panoptic for r in part]}
        _dump(out / f'png/panoptic_{split}.json', {**panoptic, 'categories': things + stuff})
        _dump(out / f'png/png_coco_{split}.json', [record.narrative for record in part])


def _write_questions(out: Path, records: list[SceneRecord], seed: int) -> None:
    for split in SPLITS:
        scenes = [(record.image['file_name'], record.kinds) for record in records if record.split == split]
        for way in WAYS:
            lines = [json.dumps(question) + '\n' for question in existence_questions(scenes, way, seed)]
            (out / f'pope/{split}_{way}.json').write_text(''.join(lines))


def _dump(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))
