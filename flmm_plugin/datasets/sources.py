"""Which pictures are annotated: a folder, a glob, a list of paths, a COCO JSON, or webdataset tars."""

from __future__ import annotations

import glob
import io
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from PIL import Image

from flmm_plugin.datasets.records import Record, load_json
from flmm_plugin.errors import DataError

SUFFIXES = frozenset('.jpg .jpeg .png .webp .bmp .gif .tif .tiff .ppm .jfif .avif .heic'.split())


@dataclass(frozen=True)
class Source:
    """A picture, by a ``name`` that is its own among all of them.

    ``path``: its file, or the tar that holds it from byte ``offset`` on.
    ``extra``: further fields of its line, for example the id that a COCO JSON gives it.
    """

    name: str
    path: Path
    offset: int | None = None
    size: int = 0
    extra: tuple[tuple[str, Any], ...] = ()

    def open(self) -> Any:
        """What :func:`read_image` takes."""
        if self.offset is None:
            return self.path
        with self.path.open('rb') as file:
            file.seek(self.offset)
            content = file.read(self.size)
        try:
            return Image.open(io.BytesIO(content))
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f'{self.name} is not an image, or damaged: {error}') from error


def find_pictures(pictures: str, image_root: str | None = None) -> list[Source]:
    """All pictures, in the order of their names.

    Args:
        pictures: a folder (with all folders in it; what has the name of a picture counts, whatever it is), a glob, a
            text file with a path a line, a COCO JSON, one or several tars.
        image_root: what paths of a text file or a JSON are relative to; the folder they lie in by default.

    Raises:
        DataError: there is no such thing, it names no picture, or one twice.
    """
    path = Path(pictures)
    if path.is_dir():
        found = [Source(str(file.relative_to(path)), file) for file in _walk(path)]
    elif path.suffix == '.json' and path.is_file():
        found = _read_coco(path, Path(image_root or path.parent))
    elif path.suffix == '.txt' and path.is_file():
        root = Path(image_root or path.parent)
        found = [Source(line, root / line) for line in text_lines(path)]
    else:
        files = [Path(name) for name in sorted(glob.glob(pictures, recursive=True))]
        if not files and path.is_file():
            files = [path]
        found = [source for file in files for source in (_read_tar(file) if file.suffix == '.tar' else [_alone(file)])]
    if not found:
        raise DataError(f'{pictures} names no picture: neither a folder, a glob, a list (.txt), a COCO .json nor .tar')
    found.sort(key=lambda source: source.name)
    for one, other in pairwise(found):
        if one.name == other.name:
            raise DataError(f'{pictures} names the picture {one.name} twice')
    return found


def text_lines(path: Path) -> list[str]:
    """What a text file says, a line each, without space around and blank lines."""
    try:
        text = path.read_text('utf-8-sig')
    except UnicodeDecodeError as error:
        raise DataError(f'{path} is no text in UTF-8 ({error}): write it again') from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _alone(file: Path) -> Source:
    return Source(str(file), file)


def _walk(folder: Path) -> Iterator[Path]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if Path(entry.name).suffix.lower() in SUFFIXES:
            yield Path(entry.path)
        elif entry.is_dir():
            yield from _walk(Path(entry.path))


def _read_coco(path: Path, root: Path) -> list[Source]:
    content = load_json(str(path))
    images = content.get('images') if isinstance(content, dict) else None
    if not isinstance(images, list):
        raise DataError(f'{path} has no list `images`: it is no COCO JSON')
    found = []
    for index, image in enumerate(images):
        record = Record.of(image, f'{path}: images[{index}]')
        name = record.words('file_name')
        identity = record.identity() if 'id' in record else None
        found.append(Source(name, root / name, extra=(('image_id', identity),)))
    return found


def _read_tar(path: Path) -> list[Source]:
    try:
        with tarfile.open(path) as archive:
            members = [member for member in archive if member.isfile()]
    except (tarfile.TarError, OSError) as error:
        raise DataError(f'{path} is no tar, or damaged: {error}') from error
    return [
        Source(f'{path.name}/{member.name}', path, member.offset_data, member.size)
        for member in members
        if Path(member.name).suffix.lower() in SUFFIXES
    ]
