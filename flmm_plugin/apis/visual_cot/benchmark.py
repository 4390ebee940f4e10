"""The VisCoT benchmark: questions with the box that helps to answer them, and offline scores.

Scoring by a language model, as the benchmark's authors do, needs a service and a key, and is left to them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flmm_plugin.errors import DataError

REQUEST = 'Please provide the bounding box coordinate of the region that can help you answer the question better.'


@dataclass(frozen=True)
class Question:
    """``box``: x0, y0, x1, y1 in pixels, where the answer is to be seen, in order; ``swapped``: the file's is not."""

    id: Any
    image: str
    text: str
    box: tuple[float, float, float, float]
    answer: str
    swapped: bool = False


def read_viscot(path: str | Path) -> list[Question]:
    """Read a file of the benchmark: a JSON list of records, or a record a line.

    A record has ``image: [FILE, 'FILE###[x0, y0, x1, y1]']`` and ``conversations``, whose first turn asks and whose
    last turn is the answer. Corners of boxes are put in order, as some of the official files (7 of 888 of docvqa) need.
    """
    try:
        content = Path(path).read_text(encoding='utf-8-sig')
        records = json.loads(content) if content.lstrip()[:1] == '[' else [json.loads(r) for r in content.splitlines()]
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f'{path} cannot be read as JSON of the VisCoT benchmark: {error}') from error
    return [read_record(record, f'{path}: record {index}') for index, record in enumerate(records)]


def read_record(record: dict[str, Any], where: str) -> Question:
    try:
        image, region = record['image']
        box = tuple(float(value) for value in re.findall(r'-?\d+(?:\.\d+)?', region.split('###')[1]))
        turns = record['conversations']
        text = turns[0]['value'].replace(REQUEST, '').replace('<image>', '').strip()
        if not isinstance(image, str) or not all(map(math.isfinite, box)):
            raise TypeError('a file name and four numbers are meant')
        x0, y0, x1, y1 = box
        ordered = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
        answer = turns[-1]['value'].strip()
        return Question(record.get('question_id', where), image, text, ordered, answer, ordered != box)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{where} is not of the VisCoT format (image: [FILE, 'FILE###[x0, y0, x1, y1]'], conversations): {error!r}"
        ) from error


def summarize(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Mean scores of answered questions, as fractions; a box is right where its IoU is above 0.5."""
    count = max(len(rows), 1)
    scores = {name: sum(row[name] for row in rows) / count for name in ('exact_match', 'anls', 'box_iou')}
    return {**scores, 'box_acc@0.5': sum(row['box_iou'] > 0.5 for row in rows) / count, 'questions': len(rows)}
