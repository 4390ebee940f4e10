"""What annotations become: the formats of other tools."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from flmm_plugin.annotation.export.coco import write_coco
from flmm_plugin.annotation.export.labelme import write_labelme
from flmm_plugin.annotation.export.narratives import write_narratives
from flmm_plugin.annotation.export.sheet import write_sheets
from flmm_plugin.annotation.store import Store
from flmm_plugin.datasets.sources import Source

#: Each takes the pictures with their records, in order, and a folder. A record has the ``image_id`` of its picture.
EXPORTERS: dict[str, Callable[[Iterator[tuple[Source, dict[str, Any]]], Path], None]] = {
    'coco': write_coco,
    'coco-panoptic': write_narratives,
    'labelme': write_labelme,
    'visualize': write_sheets,
}


def export(kind: str, store: Store, sources: Sequence[Source], folder: Path) -> str:
    """Write the records without an error to ``folder`` in the format ``kind``; gives back where."""
    found = {record['file_name']: record for record in store.records() if 'error' not in record}
    folder.mkdir(parents=True, exist_ok=True)
    ids = image_ids(sources)
    records = (
        (source, {**found[source.name], 'image_id': number})
        for source, number in zip(sources, ids, strict=True)
        if source.name in found
    )
    EXPORTERS[kind](records, folder)
    return str(folder)


def image_ids(sources: Sequence[Source]) -> list[int]:
    """Those of the COCO JSON that names the pictures, where it has one for each; else 1, 2, ..."""
    given = [dict(source.extra).get('image_id') for source in sources]
    numbers = [number for number in given if isinstance(number, int)]
    return numbers if len(numbers) == len(sources) else list(range(1, len(sources) + 1))
