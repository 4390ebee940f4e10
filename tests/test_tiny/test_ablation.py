"""The ladder's untrained stages, on a few scenes."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from flmm_plugin.datasets.scenes import write_scenes
from flmm_plugin.tiny.controls import TINY_LMM

TOOL = Path(__file__).resolve().parents[2] / 'tools/ablation.py'


@pytest.mark.slow
def test_heads_without_masks_alone_and_with_the_segmenter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trained LMM's heads find things, and SAM refines them; a random twin's find nothing."""
    monkeypatch.chdir(tmp_path)
    tool = runpy.run_path(str(TOOL))
    write_scenes(tmp_path / 'scenes', 12, seed=3, fractions=(0.5, 0.5, 0))
    (tmp_path / 'results').mkdir()
    found = {}
    for lmm in ('trained', 'untrained'):
        tool['run_untrained'](tmp_path, TINY_LMM, 160, (lmm, 0))
        for stage in tool['UNTRAINED']:
            metrics = json.loads((tmp_path / f'results/{lmm}--{stage}--0.json').read_text())
            found[lmm, stage] = metrics['mIoU_thing']
    alone, refined = tool['UNTRAINED']
    assert found['trained', refined] > found['trained', alone] > 0.3
    assert max(found['untrained', stage] for stage in tool['UNTRAINED']) < 0.15
