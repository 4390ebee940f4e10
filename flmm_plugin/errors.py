"""Errors that a user can mend, and how the tools print them."""

from __future__ import annotations

import errno
import pickle
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches

from mmengine import registry
from mmengine.registry import Registry
from safetensors import SafetensorError

#: Of files that cannot be written: no room, no right, a file where a folder is wanted.
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)


class UserError(Exception):
    """Something outside the code is wrong; the message says what, where, and how to put it right.

    The tools print it in a line, without a traceback, and exit with status 1.
    """


class DataError(UserError, ValueError):
    """A data set on disk is missing, damaged or inconsistent; the message names the file and the id."""


@contextmanager
def readable_errors() -> Iterator[None]:
    """Print errors that a user can mend without a traceback and exit with status 1; let all others through."""
    try:
        yield
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        print(f'Error: {message}', file=sys.stderr)
        raise SystemExit(1) from None


@contextmanager
def loading(name: str) -> Iterator[None]:
    """Where files or a package are missing, or damaged, transformers' error becomes one that a user can mend."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f'{name} cannot be loaded ({reason}). Are all its files there, and whole?') from error
    except ImportError as error:
        raise UserError(
            f'{name} cannot be loaded: {str(error).strip()}\nInstall that package; or, where config.json asks for '
            'flash attention (_attn_implementation), take that line out: grounding has an attention of its own'
        ) from error


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Errors that a user can mend say in the end what they are about."""
    try:
        yield
    except UserError as error:
        raise type(error)(f'{error} ({what})') from error


def explain(error: Exception) -> str | None:
    """What to tell the user, or None if the error is not one that a user can mend."""
    if isinstance(error, (UserError, FileNotFoundError)):
        return _from_worker(str(error))
    if isinstance(error, OSError) and error.errno in UNWRITABLE:
        room = ': make room, and run the same command again' if error.errno in (errno.ENOSPC, errno.EDQUOT) else ''
        return f'{error.strerror}{f" ({error.filename})" if error.filename else ""}{room}'
    if isinstance(error, OSError) and 'huggingface.co' in str(error):  # transformers found no model of a name
        return f'{error}\nIs the name right? Without a network, name a folder on disk (model.lmm.pretrained).'
    if isinstance(error, ImportError) and 'pip install' in str(error):  # a package that an option needs
        return str(error)
    if isinstance(error, pickle.UnpicklingError):
        return f'A file is damaged, or holds more than the plain data that may be read from it.\n{error}'
    unknown = re.search(r'(\S+) is not in the (\S+)::(.+?) registry', str(error))
    if isinstance(error, KeyError) and unknown:
        return _unknown_type(unknown[1].strip('\'"'), unknown[3])
    argument = r"__init__\(\) (got an unexpected keyword argument '\w+'|missing \d+ required)"
    if isinstance(error, TypeError) and re.search(argument, str(error)):
        return f'{error} (misspelt in the config, or missing?)'
    return None


def _from_worker(message: str) -> str:
    """What was raised in a DataLoader's worker, out of the traceback that torch wraps around it."""
    if not re.match(r'Caught \w+ in DataLoader worker', message):
        return message
    return re.split(r'^[\w.]+Error: ', message, flags=re.MULTILINE)[-1].strip()


def _unknown_type(name: str, kind: str) -> str:
    known = sorted({full for root in _roots() if root.name == kind for full in _names(root)})
    close = get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f'Did you mean {" or ".join(close)}?' if close else f'Known are: {", ".join(known)}.'
    return f"There is no {kind} of type '{name}' (misspelt in the config?). {hint}"


def _roots() -> list[Registry]:
    return [value for value in vars(registry).values() if isinstance(value, Registry)]


def _names(node: Registry, prefix: str = '') -> Iterator[str]:
    """Types of a registry as a config of this package names them; those of other packages with their scope."""
    node.import_from_location()
    yield from (f'{prefix}{name}' for name in node.module_dict)
    for scope, child in node.children.items():
        yield from _names(child, '' if scope == 'flmm_plugin' else f'{scope}.')
