"""The plot shows the figures of the table."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from flmm_plugin.benchmark.plots import draw_costs, drawable, plot_costs

WAYS = ('bare', 'ours', 'eager')


def result(device: str = 'cpu') -> dict[str, Any]:
    """Of two lengths, the longer one first."""
    rows = [
        dict(
            tokens=tokens,
            seconds={way: (1 + i) * tokens / 1000 for i, way in enumerate(WAYS)},
            peak_bytes={way: (1 + i) * tokens * 1_000_000 for i, way in enumerate(WAYS)},
        )
        for tokens in (2000, 700)
    ]
    return dict(preset='mid', dtype='float32', phrases=6, device=device, machine='a machine', extract=rows)


def test_a_line_for_each_way_in_both_panels() -> None:
    figure = draw_costs(result())
    time, memory = figure.axes
    for axes in (time, memory):
        assert [len(line.get_xdata()) for line in axes.lines] == [2, 2, 2]
        assert [list(line.get_xdata()) for line in axes.lines] == [[700, 2000]] * 3
        assert [str(line.get_label()).partition(' ')[0] for line in axes.lines] == ['bare', 'ours:', 'eager:']
        assert axes.get_xlabel() == 'tokens, image included' and axes.get_ylim()[0] == 0
    assert [list(line.get_ydata()) for line in time.lines] == [[0.7, 2.0], [1.4, 4.0], pytest.approx([2.1, 6.0])]
    assert [list(line.get_ydata()) for line in memory.lines] == [[0.7, 2.0], [1.4, 4.0], pytest.approx([2.1, 6.0])]
    assert (time.get_ylabel(), memory.get_ylabel()) == ('s', 'GB')
    assert 'time' in time.get_title() and 'resident' in memory.get_title()
    assert time.get_legend() is not None


def test_label_says_what_memory_is_on_a_gpu() -> None:
    assert 'tensors on the GPU' in draw_costs(result('cuda')).axes[1].get_title()


def test_title_names_what_was_measured() -> None:
    assert draw_costs(result()).get_suptitle().startswith('mid, float32, 6 phrases')
    of_config = {name: value for name, value in result().items() if name != 'preset'}
    assert draw_costs(dict(of_config, config='configs/a/b.py')).get_suptitle().startswith('b, float32')


def test_picture_is_written(tmp_path: Path) -> None:
    path = tmp_path / 'new' / 'costs.png'
    plot_costs(result(), path)
    with Image.open(path) as picture:
        picture.load()
        assert picture.format == 'PNG' and picture.width > picture.height > 300


@pytest.mark.parametrize('name', ['costs', 'costs.docx'])
def test_what_cannot_be_drawn_is_refused(name: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=rf'{name} must end in one of .*\.png'):
        drawable(name)
