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

#: Each takes the pictures with their records, in order, and a folder.
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
    EXPORTERS[kind](((source, found[source.name]) for source in sources if source.name in found), folder)
    return str(folder)
