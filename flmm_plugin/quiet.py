"""Leaving out of the log what concerns no user of this package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from logging import Logger, LogRecord


@contextmanager
def without_messages(logger: Logger, *parts: str) -> Iterator[None]:
    """Inside the block, drop the records of ``logger`` whose messages hold one of ``parts``; all others pass."""

    def wanted(record: LogRecord) -> bool:
        return not any(part in record.getMessage() for part in parts)

    logger.addFilter(wanted)
    try:
        yield
    finally:
        logger.removeFilter(wanted)
