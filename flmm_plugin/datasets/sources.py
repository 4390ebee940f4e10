"""Which pictures are annotated: a folder, a glob, a list of paths, a COCO JSON, or webdataset tars."""

from __future__ import annotations

import glob
import io
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePath
from typing import Any

from PIL import Image

from flmm_plugin.datasets.records import Id, Record, load_json
from flmm_plugin.errors import DataError
from flmm_plugin.images import Size

SUFFIXES = frozenset(
    """.jpg .jpeg .jpe .jfif .mpo .jp2 .j2k .jpx .png .apng .webp .avif .heic .heif .bmp .dib .gif .tif .tiff .tga .pbm
    .pgm .ppm .pnm""".split()
)
#: Compressed ones are refused: their pictures have no place in the file.
TARS = ('.tar', '.tgz', '.tbz2', '.txz', '.tar.gz', '.tar.bz2', '.tar.xz', '.tar.zst')


@dataclass(frozen=True)
class Source:
    """A picture, by a ``name`` that is its own among all of them.

    ``path``: its file, or the tar that holds it from byte ``offset`` on.
    ``stated``: the (height, width) that an annotation gives it.
    ``extra``: further fields of its line, for example the id that a COCO JSON gives it.
    """

    name: str
    path: Path
    offset: int | None = None
    size: int = 0
    stated: Size = (None, None)
    extra: tuple[tuple[str, Any], ...] = ()

    def open(self) -> Any:
        """What :func:`read_image` takes."""
        content = self.packed()
        if content is None:
            return self.path
        try:
            return Image.open(io.BytesIO(content))
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f'{self.name} is not an image, or damaged: {error}') from error

    def packed(self) -> bytes | None:
        """The file's content where it lies in a tar; None where it is a file of its own."""
        if self.offset is None:
            return None
        with self.path.open('rb') as file:
            file.seek(self.offset)
            return file.read(self.size)


def find_pictures(pictures: str, image_root: str | None = None) -> list[Source]:
    """All pictures, in the order of their names.

    Args:
        pictures: a folder (with all folders in it; what has the name of a picture counts, whatever it is, save for
            hidden files), a glob, a text file with a path a line, a COCO JSON, one or several tars.
        image_root: what paths of a text file or a JSON are relative to; the folder they lie in by default.

    Raises:
        DataError: there is no such thing, it names no picture, or one twice.
    """
    path = Path(pictures).expanduser()
    root = Path(image_root).expanduser() if image_root else path.parent
    if not pictures.strip():
        raise DataError('the name of the pictures is empty')
    if path.is_dir():
        found = [Source(str(file.relative_to(path)), file) for file in _walk(path)]
    elif path.suffix.lower() == '.json' and path.is_file():
        found = _read_coco(path, root)
    elif path.suffix.lower() == '.txt' and path.is_file():
        found = [Source(line, root / line) for line in text_lines(path)]
    else:  # the name of a file may have the brackets of a glob
        files = [path] if path.is_file() else [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
        tars = [file.name.lower().endswith(TARS) for file in files]
        found = [
            source
            for file, is_tar in zip(files, tars, strict=True)
            for source in (_read_tar(file) if is_tar else [_alone(file)])
        ]
    if not found:
        raise DataError(f'{pictures} names no picture: neither a folder, a glob, a list (.txt), a COCO .json nor .tar')
    found.sort(key=lambda source: source.name)
    places: dict[tuple[str, int | None], str] = {}
    for one, other in pairwise(found):
        if one.name == other.name:
            raise DataError(f'{pictures} names the picture {one.name} twice')
    for one in found:
        first = places.setdefault((os.path.abspath(one.path), one.offset), one.name)
        if first != one.name:
            raise DataError(f'{pictures} names one picture twice: {first} and {one.name}')
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


def _walk(folder: Path, above: frozenset[str] = frozenset()) -> Iterator[Path]:
    """``above``: the real paths of the folders that this one lies in, into which a link may lead back."""
    above |= {os.path.realpath(folder)}
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise DataError(f'the folder {folder} cannot be read: {error.strerror}') from error
    for name in names:
        path = folder / name
        if _is_picture(name):
            yield path
        elif not name.startswith('.') and path.is_dir() and os.path.realpath(path) not in above:
            yield from _walk(path, above)


def _is_picture(name: str) -> bool:
    """By its name; hidden files such as macOS's ``._a.jpg`` are none."""
    path = PurePath(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith('.')


def _read_coco(path: Path, root: Path) -> list[Source]:
    content = load_json(str(path))
    images = content.get('images') if isinstance(content, dict) else None
    if not isinstance(images, list):
        raise DataError(f'{path} has no list `images`: it is no COCO JSON')
    found = []
    ids: dict[Id, str] = {}
    for index, image in enumerate(images):
        record = Record.of(image, f'{path}: images[{index}]')
        name = record.words('file_name')
        identity = record.identity() if 'id' in record else None
        if identity is not None and ids.setdefault(identity, name) != name:
            raise DataError(f'{record.where} has the id {identity}, which is that of {ids[identity]} too')
        height, width = (record.whole(side, least=1) if side in record else None for side in ('height', 'width'))
        found.append(Source(name, root / name, stated=(height, width), extra=(('image_id', identity),)))
    return found


def _read_tar(path: Path) -> list[Source]:
    try:
        with tarfile.open(path, 'r:') as archive:
            members = [member for member in archive if member.isfile()]
    except (tarfile.TarError, OSError) as error:
        raise DataError(f'{path} is no tar, damaged, or compressed and to be unpacked first: {error}') from error
    return [
        Source(f'{path.name}/{member.name}', path, member.offset_data, member.size)
        for member in members
        if _is_picture(member.name)
    ]
