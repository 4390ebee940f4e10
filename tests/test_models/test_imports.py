from __future__ import annotations

import subprocess
import sys

WITHOUT = """
import sys
for name in ('mmdet', 'mmcv', 'xtuner'):
    sys.modules[name] = None
from flmm_plugin.registry import MODELS
assert MODELS.get('FLMM') is not None
"""


def test_models_import_without_mmdet_and_mmcv() -> None:
    subprocess.run([sys.executable, '-c', WITHOUT], check=True)
