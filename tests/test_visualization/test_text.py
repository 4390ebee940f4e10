"""Text of every kind in pictures: as it is written, or as boxes, and never an error."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pytest

from flmm_plugin.visualization.result_plots import plot_by_length
from flmm_plugin.visualization.sheet import LARGEST, Row, draw_sheet, shrink
from flmm_plugin.visualization.text import FAMILIES, drawable, font_for

TEXTS = (
    'the $_$ sign',
    '$\\frac{1}{',
    'a 5$ or 10$ note',
    '\\alpha ^ _ & % # ~ {}',
    '<b>bold</b> &amp;',
    '红色的狗',
    '赤い犬',
    'собака и кот',
    'ο σκύλος',
    'הכלב',
    'الكلب',
    'कुत्ता',
    'หมา',
    '🐕 dog',
    'a\x00b\x1b[31m',
    'half \ud83d of a pair',
    'two\nlines',
    'tab\there',
    '_begins_like_this',
    'word' * 60,
    '',
)
IMAGE = np.full((40, 60, 3), 128, np.uint8)
MASK = np.zeros((40, 60), bool)
MASK[10:30, 20:40] = True


def sheet(phrase: str) -> np.ndarray:
    return draw_sheet([Row(IMAGE, phrase, '#e6194b', refined=MASK, truth=MASK)])


@pytest.mark.filterwarnings('ignore:Glyph')
@pytest.mark.parametrize('text', TEXTS)
def test_every_phrase_is_drawn(text: str) -> None:
    with matplotlib.rc_context({'text.usetex': True}):  # whatever the user's matplotlibrc asks for
        assert sheet(text).shape[2] == 3


def test_dollars_are_dollars() -> None:
    """In mathematics "$x$" would be drawn without its signs, in italics."""
    assert (sheet('$x$') != sheet('x')).any() and (sheet('x_2') != sheet('$x_2$')).any()


def test_runs_may_have_any_name(tmp_path: Path) -> None:
    record = dict(group='res/x', phrase='a $dog', iou=0.5, intersection=5, union=10, img_id=1, area=4, size=[4, 4])
    plot_by_length({'run $_$ 1': [record], '$\\frac': [record]}, tmp_path / 'plot.png')
    assert (tmp_path / 'plot.png').stat().st_size > 1000


def test_what_no_font_can_draw() -> None:
    assert drawable('a\x00b\ud800c\nd') == 'a\ufffdb\ufffdc\nd'
    assert font_for('plain', 12).getname()[0] == FAMILIES[0]


def test_large_pictures_are_made_smaller_for_a_panel() -> None:
    large = np.kron(MASK, np.ones((60, 60), bool))
    small = shrink(large)
    assert max(small.shape) == LARGEST and abs(small.mean() - large.mean()) < 1e-2
    assert shrink(np.zeros((2400, 3600, 3), np.uint8)).shape == (683, 1024, 3)
    assert shrink(MASK) is MASK
