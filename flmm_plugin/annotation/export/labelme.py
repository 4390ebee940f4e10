"""labelme's files: a JSON for each picture, with the outlines of its masks."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

import cv2
import numpy as np

from flmm_plugin.annotation.export.files import PictureFiles
from flmm_plugin.datasets.sources import Source
from flmm_plugin.plain_json import to_json
from flmm_plugin.rle import decode_mask

LEAST_CORNERS = 3


def write_labelme(records: Iterator[tuple[Source, dict[str, Any]]], folder: Path) -> None:
    """A JSON under the picture's name; parts of one mask share a ``group_id``. Holes are not part of the format."""
    files = PictureFiles(folder, '.json')
    for source, record in records:
        shapes = []
        for group, phrase in enumerate(record['phrases']):
            mask = decode_mask(phrase['mask']).astype(np.uint8) if phrase['grounded'] else np.zeros((1, 1), np.uint8)
            outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
            for outline in outlines:
                if len(outline) >= LEAST_CORNERS:
                    points = outline[:, 0].astype(float).tolist()
                    about = dict(label=phrase['text'], group_id=group, description='', flags={})
                    shapes.append(dict(shape_type='polygon', points=points, **about))
        file = files.of(source.name)
        content = dict(
            version='5.4.1',
            flags={},
            shapes=shapes,
            **picture_of(source, file.parent),
            imageHeight=record['image']['height'],
            imageWidth=record['image']['width'],
        )
        file.write_text(to_json(content, ensure_ascii=False))


def picture_of(source: Source, folder: Path) -> dict[str, str | None]:
    """Where labelme finds the picture: by its way from the JSON's folder; what lies in a tar comes along."""
    content = source.packed()
    if content is not None:
        return dict(imagePath=PurePath(source.name).name, imageData=base64.b64encode(content).decode())
    path = Path(os.path.realpath(source.path.parent)) / source.path.name
    return dict(imagePath=os.path.relpath(path, os.path.realpath(folder)), imageData=None)
