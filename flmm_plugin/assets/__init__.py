"""Files that ship with the package: the tiny LMM and the tiny SAM."""

from pathlib import Path

PREFIX = 'flmm_plugin::'


def resolve(path: str) -> str:
    """Turn ``flmm_plugin::NAME`` into the path of a shipped file or folder; anything else is returned as it is."""
    if not path.startswith(PREFIX):
        return path
    shipped = Path(__file__).parent / path.removeprefix(PREFIX)
    if not shipped.exists():
        names = sorted(entry.name for entry in shipped.parent.glob('*') if not entry.name.startswith('_'))
        raise FileNotFoundError(f'{path} does not ship with flmm_plugin; there are: {", ".join(names) or "none"}')
    return str(shipped)
