"""Pictures of the results: one for each image, and a sheet of the first of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from flmm_plugin.annotation.export.files import PictureFiles
from flmm_plugin.apis.images import read_image
from flmm_plugin.datasets.sources import Source
from flmm_plugin.rle import decode_mask
from flmm_plugin.visualization import Layer, draw_overlay, phrase_color

ON_SHEET, COLUMNS, SIDE = 24, 6, 384


def write_sheets(records: Iterator[tuple[Source, dict[str, Any]]], folder: Path) -> None:
    """``pictures/NAME.png`` of every image, and ``sheet.png``."""
    tiles: list[Image.Image] = []
    files = PictureFiles(folder / 'pictures', '.png')
    for source, record in records:
        pixels = read_image(source.open(), 2**31, source.stated).permute(1, 2, 0).numpy()
        layers = [
            Layer(decode_mask(phrase['mask']), phrase['text'], phrase_color(index))
            for index, phrase in enumerate(record['phrases'])
            if phrase['grounded']
        ]
        drawn = Image.fromarray(draw_overlay(pixels, layers))
        drawn.save(files.of(source.name))
        if len(tiles) < ON_SHEET:
            drawn.thumbnail((SIDE, SIDE))
            tiles.append(drawn)
    rows = -(-len(tiles) // COLUMNS)
    sheet = Image.new('RGB', (min(len(tiles), COLUMNS) * SIDE or 1, rows * SIDE or 1), 'white')
    for index, tile in enumerate(tiles):
        sheet.paste(tile, (index % COLUMNS * SIDE, index // COLUMNS * SIDE))
    sheet.save(folder / 'sheet.png')
