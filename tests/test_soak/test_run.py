"""A long day in short: nothing piles up."""

from __future__ import annotations

import pytest

pytest.importorskip('gradio', reason='the web page needs Gradio')

from flmm_plugin.apis import FLMMInferencer
from flmm_plugin.soak.run import grown, soak
from tests.tiny_checkpoint import CONFIG, save_checkpoint


@pytest.mark.slow
def test_a_long_day_leaves_nothing_behind(tmp_path) -> None:
    inferencer = FLMMInferencer(CONFIG, save_checkpoint(tmp_path), 'cpu', extractor=dict(type='RulePhrases'))
    rows = soak(inferencer, str(CONFIG), 300, lambda row: None, requests=60)
    assert rows[-1].done['requests'] >= 60 and min(rows[-1].done.values()) > 2
    assert {name: value for name, value in grown(rows).items() if name != 'memory'} == {}
