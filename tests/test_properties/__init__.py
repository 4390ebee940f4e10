"""Random damage, in all that is read: an error that a user can mend, or the right value, never anything else.

``FLMM_EXAMPLES=1000 pytest tests/test_properties`` tries more than the few examples of an ordinary run.
"""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip('hypothesis')

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get('FLMM_EXAMPLES', '25'))
bounded = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def in_a_child(work: Callable[[], None]) -> None:
    """Run what may crash a process in a process of its own; fail where it fails or dies."""
    context = multiprocessing.get_context('fork')
    receiver, sender = context.Pipe(duplex=False)

    def child() -> None:
        try:
            work()
        except BaseException:
            sender.send(traceback.format_exc())
        else:
            sender.send('')

    process = context.Process(target=child)
    process.start()
    sender.close()
    try:
        report = receiver.recv()
    except EOFError:
        report = 'it died'
    process.join()
    assert process.exitcode == 0 and not report, f'{report} (exit code {process.exitcode})'


#: What stands in files where something else is meant.
STRANGE = st.sampled_from(
    [
        None,
        float('nan'),
        float('inf'),
        1e8,
        -7,
        10**30,
        True,
        '',
        ' ',
        'x',
        '\ud83d',
        0.5,
        990,
        [],
        {},
        [None],
        {'a': 1},
        [[]],
    ]
)


def places(content: Any, path: tuple = ()) -> list[tuple]:
    """The paths of everything that a parsed file holds."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    found = []
    for key, value in items:
        found += [(*path, key), *places(value, (*path, key))]
    return found


@st.composite
def damage(draw: Any, content: Any) -> list[tuple[str, tuple, Any]]:
    """Up to three changes: (what is done, where, with what)."""
    where = st.sampled_from(places(content))
    one = st.tuples(st.sampled_from(['replace', 'remove', 'repeat']), where, STRANGE)
    return draw(st.lists(one, min_size=1, max_size=3))


def harm(content: Any, changes: list[tuple[str, tuple, Any]]) -> None:
    """Make the changes in place, those that others have made impossible left out."""
    for kind, path, value in changes:
        node = content
        try:
            for key in path[:-1]:
                node = node[key]
            node[path[-1]]
        except (KeyError, IndexError, TypeError):
            continue
        if not isinstance(node, (dict, list)):
            continue
        if kind == 'remove':
            del node[path[-1]]
        elif kind == 'repeat' and isinstance(node, list):
            node.append(node[path[-1]])
        else:
            node[path[-1]] = value


@st.composite
def bytes_damage(draw: Any, content: bytes) -> bytes:
    """Some bytes replaced, and perhaps the end cut off."""
    damaged = bytearray(content)
    for at, byte in draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=8)):
        damaged[at] = byte
    return bytes(damaged[: draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))])
