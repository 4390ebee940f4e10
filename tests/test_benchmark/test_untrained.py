"""What pointing costs without training is measured on what was asked for; timings are not judged."""

from __future__ import annotations

from flmm_plugin.benchmark.presets import PRESETS
from flmm_plugin.benchmark.subject import PresetSubject
from flmm_plugin.benchmark.untrained import measure_untrained, table
from flmm_plugin.models.capture.heads import spread_heads


def test_forward_passes_and_answers_are_timed() -> None:
    result = measure_untrained(PresetSubject('tiny'), [120], phrases=3, repeats=1)
    (row,) = result['untrained']
    seconds = row['seconds']
    assert set(seconds) == {'bare', 'captured', 'answer', 'grounding'} and min(seconds.values()) > 0
    assert row['time_vs_bare'] == seconds['captured'] / seconds['bare']
    assert row['grounding_vs_answer'] == seconds['grounding'] / seconds['answer']
    assert table(result).splitlines()[-1].startswith('| 120 |')


def test_heads_lie_in_all_layers() -> None:
    assert spread_heads(8, 4, 8) == [2, 6, 10, 14, 18, 22, 26, 30]
    assert spread_heads(8, 1, 4) == [0, 1, 2, 3] and PRESETS['tiny'].layers == 2
