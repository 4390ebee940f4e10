"""Layouts that were certified before, so that an LMM is examined once for each release of transformers."""

from __future__ import annotations

import json
import os
from hashlib import blake2b
from pathlib import Path
from typing import Any

import transformers

from flmm_plugin.models.layouts.certificate import certify_layout


def certify_once(lmm: Any) -> None:
    """:func:`certify_layout`, unless this LMM has passed: the same config, processor and transformers.

    What passed is noted in ``$FLMM_CACHE``, by default ``~/.cache/flmm_plugin``.
    """
    note = cache_folder() / 'layouts' / f'{key_of(lmm)}.json'
    if note.exists():
        return
    verdicts = certify_layout(lmm)
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps(dict(lmm=lmm.name, verdicts=[str(verdict) for verdict in verdicts])))
    except OSError:
        pass  # a home that cannot be written to: it is examined again next time


def cache_folder() -> Path:
    return Path(os.environ.get('FLMM_CACHE') or Path.home() / '.cache' / 'flmm_plugin')


def key_of(lmm: Any) -> str:
    about = [transformers.__version__, lmm.config.to_json_string(), repr(lmm.processor)]
    return blake2b('\n'.join(about).encode(), digest_size=16).hexdigest()
