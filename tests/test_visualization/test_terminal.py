import io

import pytest

from flmm_plugin.visualization.terminal import paint, wants_color


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_marked_parts_get_their_colour() -> None:
    painted = paint('a dog on the mat', [(9, 16, '#0000ff'), (0, 5, '#ff8000')])
    assert painted == '\x1b[1;38;2;255;128;0ma dog\x1b[0m on \x1b[1;38;2;0;0;255mthe mat\x1b[0m'
    assert paint('nothing', []) == 'nothing'


def test_colour_only_for_people_who_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('NO_COLOR', raising=False)
    monkeypatch.setenv('TERM', 'xterm')
    assert wants_color(Terminal()) and not wants_color(io.StringIO())
    monkeypatch.setenv('NO_COLOR', '1')
    assert not wants_color(Terminal())
    monkeypatch.setenv('NO_COLOR', '')
    monkeypatch.setenv('TERM', 'dumb')
    assert not wants_color(Terminal())
