"""Files of an export, one for each picture, in folders like those of the pictures."""

from __future__ import annotations

from pathlib import Path, PurePath


class PictureFiles:
    """Names files after pictures, each by a name of its own: ``d.jpg`` and ``d.png`` have the same without an ending.

    Nothing leads out of ``folder``.
    """

    def __init__(self, folder: Path, suffix: str) -> None:
        self.folder, self.suffix = folder, suffix
        self._taken: set[Path] = set()

    def of(self, name: str) -> Path:
        """The file of the picture ``name``, whose folder is made."""
        inside = PurePath(*(part for part in PurePath(name).parts if part not in ('/', '..')))
        path, count = self.folder / inside.with_suffix(self.suffix), 1
        while path in self._taken:
            path = self.folder / inside.with_name(f'{inside.name}{"" if count == 1 else f".{count}"}{self.suffix}')
            count += 1
        self._taken.add(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path
