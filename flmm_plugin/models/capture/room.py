"""What may wait to be computed together.

A GPU takes longer to start the dozen small kernels that a layer's capture is made of than to run them, and of short
texts it waits for the host. They are started once for several layers, therefore. A CPU gains nothing.
"""

from __future__ import annotations

#: Bytes that may wait, by kind of device; nothing does on others.
ROOM = {'cuda': 192 * 2**20}
#: Layers for which it pays to copy what they hold side by side.
FEWEST = 4
#: Bytes of a tensor that is sooner copied whole than its rows are taken.
SMALL = 8 * 2**20


def room_for(size: int, kind: str) -> int:
    """How many layers of so many bytes each may wait on a device of that kind, at least one."""
    number = ROOM.get(kind, 0) // max(size, 1)
    return number if number >= FEWEST else 1
