"""labelme's files: a JSON for each picture, with the outlines of its masks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
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
        content = dict(
            version='5.4.1',
            flags={},
            shapes=shapes,
            imagePath=str(source.path) if source.offset is None else source.name,
            imageData=None,
            imageHeight=record['image']['height'],
            imageWidth=record['image']['width'],
        )
        files.of(source.name).write_text(to_json(content, ensure_ascii=False))
