"""Files that ship with the package: ``flmm_plugin::NAME`` in a config stands for one of them."""

from __future__ import annotations

from pathlib import Path

SCHEME = 'flmm_plugin::'
_ROOT = Path(__file__).resolve().parent


def resolve(path: str) -> str:
    """Turn ``flmm_plugin::NAME`` into the path of a shipped file or folder; any other path is returned as it is.

    Raises:
        FileNotFoundError: no such file ships with the package; the message lists those that do.
    """
    if not path.startswith(SCHEME):
        return path
    found = _ROOT / path.removeprefix(SCHEME)
    if not found.exists():
        shipped = sorted(p.name for p in _ROOT.iterdir() if not p.name.startswith('__'))
        raise FileNotFoundError(
            f'{path}: not among the files that ship with flmm_plugin: {", ".join(shipped) or "none"}'
        )
    return str(found)
