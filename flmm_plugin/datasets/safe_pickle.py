"""Reading pickles of plain data without running what they say."""

from __future__ import annotations

import io
import pickle
from typing import Any

from mmengine.fileio import get

from flmm_plugin.errors import DataError


class PlainUnpickler(pickle._Unpickler):
    """Unpickles containers, numbers and strings; anything that names a class or function is refused.

    Python's own unpickler in Python: the one in C sets aside memory for as many objects as a damaged file claims to
    have. It takes 4 s for the references of RefCOCO.
    """

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f'it names {module}.{name}, and only containers, numbers and text may be read')


def load_plain_pickle(path: str) -> Any:
    """Read the pickle at ``path`` if it holds nothing but plain data.

    RefCOCO's split files were written by Python 2, whose byte strings are read as UTF-8 text.
    """
    try:
        return PlainUnpickler(io.BytesIO(get(path)), encoding='utf-8').load()
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise DataError(f'{path} is no pickle of plain data: {error}. Download or write it again.') from error
