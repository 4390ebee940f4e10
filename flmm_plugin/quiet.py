"""Leaving out of the log what concerns no user of this package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from logging import Logger, LogRecord


@contextmanager
def without_messages(logger: Logger, *beginnings: str) -> Iterator[None]:
    """Inside the block, drop the records of ``logger`` whose messages begin so; all others pass."""

    def wanted(record: LogRecord) -> bool:
        return not record.getMessage().startswith(beginnings)

    logger.addFilter(wanted)
    try:
        yield
    finally:
        logger.removeFilter(wanted)
